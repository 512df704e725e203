"""Where the stamps of a survey come from."""
