"""Pages to look at: what a run says of itself, as HTML."""
