"""Figures, one a file: what each selects and how it draws it."""
