"""Composing and checking what a command is told, before anything starts."""
