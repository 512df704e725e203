"""Strips of galaxies, one for each step, for pages that show one at a time."""

import numpy as np

from galgen.figures.display import Display


def draw_strips(images: np.ndarray, display: Display | None = None) -> np.ndarray:
    """Colour galaxies side by side, a strip for each step, for pages that show one at a time.

    Args:
        images: (galaxies, steps, B, H, W), each galaxy on one brightness scale.
        display: how galaxies are shown.

    Returns:
        Red, green, blue and opacity, (steps, H, width, 4), uint8, with clear gaps; first row at
        the top.
    """
    display = display or Display()
    columns = []
    for galaxy in images:
        scale = display.scale(galaxy)
        tile = np.stack([display.paint(image, scale) for image in galaxy])[:, ::-1]
        gap = max(1, tile.shape[2] // 16)
        columns.append(np.pad(tile, [(0, 0), (0, 0), (0, gap), (0, 0)]))
    return np.concatenate(columns, axis=2)[:, :, :-gap]
