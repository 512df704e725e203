"""Galaxies cut from mosaics."""
