"""Run directories, and the trained runs that they hold."""
