"""Galaxies of the COSMOS release."""
