"""How good generated galaxies are."""
