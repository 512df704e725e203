"""What is drawn of a run: which galaxies, latents or curves go into which figure."""
