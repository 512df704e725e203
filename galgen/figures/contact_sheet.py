"""Galaxies of a survey, side by side."""

import numpy as np
from matplotlib.figure import Figure

from galgen.figures.display import Display
from galgen.figures.layout import add_caption, grid

SHEET = 8
"""Galaxies in a row of a contact sheet."""


def draw_contact_sheet(
    images: np.ndarray,
    display: Display,
    magnitude: np.ndarray | None = None,
    redshift: np.ndarray | None = None,
) -> Figure:
    """Draw galaxies of a survey, each on its own asinh stretch.

    Args:
        images: (N, B, H, W).
        display: how galaxies are shown.
        magnitude: (N,), written above each galaxy.
        redshift: (N,), written above each galaxy.
    """
    rows, columns = -(-len(images) // SHEET), min(len(images), SHEET)
    figure, axes = grid(rows, columns, display, top=0.28, gap=0.32)
    scales = [display.scale(image) for image in images]
    for axis in axes.flat[len(images) :]:
        axis.set_visible(False)
    for number, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        display.show(axis, image, scales[number])
        label = []
        if magnitude is not None and np.isfinite(magnitude[number]):
            label.append(f"{magnitude[number]:.1f} mag")
        if redshift is not None and np.isfinite(redshift[number]):
            label.append(f"redshift {redshift[number]:.2f}")
        axis.set_title("\n".join(label), fontsize=6, pad=2)
        display.annotate(axis, image)
    add_caption(figure, display.caption(images[0], "each galaxy's peak", scales))
    return figure
