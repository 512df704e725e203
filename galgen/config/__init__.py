"""Configs: composed, and checked before anything starts."""
