"""Simulated galaxies: who they are, how they are built, and how a telescope sees them."""
