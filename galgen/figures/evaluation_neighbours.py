"""Generated galaxies beside the training galaxies that are most like them."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from galgen.figures.display import Display
from galgen.figures.layout import add_caption, grid, label_row
from galgen.figures.run_figure import display_of

if TYPE_CHECKING:
    from galgen.figures.evaluation_figures import Evaluated


def select_neighbours(shown: "Evaluated") -> dict[str, Figure]:
    """Draw the neighbours of each prior's galaxies, a figure each."""
    display = display_of(shown.run)
    return {
        f"evaluation_neighbours_{prior}": draw_neighbours(
            shown.result.images[prior][: len(nearest)], nearest, shown.labels[prior], display
        )
        for prior, nearest in shown.result.neighbours.items()
    }


def draw_neighbours(
    generated: np.ndarray, nearest: np.ndarray, label: str, display: Display
) -> Figure:
    """Draw generated galaxies beside the survey's that are most like them.

    Args:
        generated: (N, B, H, W).
        nearest: training galaxies, nearest first, (N, K, B, H, W).
        label: how the generated ones are called.
        display: how galaxies are shown.
    """
    rows, columns = nearest.shape[0], nearest.shape[1] + 1
    figure, axes = grid(rows, columns, display, 0.25, 0.36)
    scales = []
    for row in range(rows):
        images = np.stack([generated[row], *nearest[row]])
        scales.append(display.scale(images))
        for axis, image in zip(axes[row], images, strict=True):
            display.show(axis, image, scales[-1])
        label_row(axes[row, 0], str(row))
    axes[0, 0].set_title("generated", fontsize=8, pad=2)
    for column in range(1, columns):
        axes[0, column].set_title(f"nearest {column}", fontsize=8, pad=2)
    figure.suptitle(f"{label}: the most similar training galaxies", fontsize=8, y=0.995, va="top")
    display.annotate(axes[0, 0], generated[0])
    add_caption(figure, display.caption(generated[0], "each row's peak", scales))
    return figure
