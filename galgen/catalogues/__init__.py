"""Catalogues of generated galaxies, and what else leaves galgen."""
