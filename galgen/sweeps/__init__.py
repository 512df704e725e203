"""Many trainings from one command."""
