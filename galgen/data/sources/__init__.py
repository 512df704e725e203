"""Where stamps come from."""
