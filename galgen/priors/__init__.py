"""What latents are drawn from."""
