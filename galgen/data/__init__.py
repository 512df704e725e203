"""Surveys: stamp files, where they come from, and how a training reads them."""
