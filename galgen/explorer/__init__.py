"""The page that shows in a browser what a model knows."""
