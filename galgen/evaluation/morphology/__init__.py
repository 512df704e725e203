"""Shapes and sizes of galaxies, measured on images."""
