"""One training, and the fit of its priors."""
