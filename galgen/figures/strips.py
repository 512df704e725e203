"""Strips of galaxies, one for each step, for pages that show one at a time."""

import matplotlib
import numpy as np

from galgen.figures.display import STRETCHES, Display, relative


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
    cmap, stretch = matplotlib.colormaps[display.cmap], STRETCHES[display.stretch]
    columns = []
    for galaxy in images:
        shown = np.stack([display.middle(image) for image in galaxy])[:, ::-1]
        shown = relative(shown, galaxy.max())
        gap = max(1, shown.shape[-1] // 16)
        tile = cmap(stretch(shown), bytes=True)
        columns.append(np.pad(tile, [(0, 0), (0, 0), (0, gap), (0, 0)]))
    return np.concatenate(columns, axis=2)[:, :, :-gap]
