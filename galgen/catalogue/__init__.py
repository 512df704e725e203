"""Catalogues of generated galaxies, and the files they are written to."""
