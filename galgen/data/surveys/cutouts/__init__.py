"""A folder, a pattern or an array of galaxies that someone has cut out already."""
