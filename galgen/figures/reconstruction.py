"""Galaxies over their reconstructions over the residuals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from galgen.figures.display import Display
from galgen.figures.layout import add_caption, grid, label_row, redshift_note, redshift_title
from galgen.figures.run_figure import RunFigure, check_positive

if TYPE_CHECKING:
    from galgen.runs.trained_run import TrainedRun

RESIDUAL = 0.3
"""Where the colours of residuals end, in peaks."""


class Reconstruction(RunFigure):
    """Galaxies over their reconstructions over the residuals.

    Args:
        n: number of galaxies, chosen at random.
        galaxies: numbers of galaxies in the split, from 0, instead.
        **arguments: as `RunFigure`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, n: int = 8, galaxies: Sequence[int] | None = None, **arguments):
        super().__init__(**arguments)
        check_positive(n=n)
        self.n, self.galaxies = n, galaxies

    def draw(self, run: "TrainedRun") -> dict[str, Figure]:
        """Return the figure `reconstruction`."""
        positions = self.choose(run, self.galaxies, self.n)
        batch = run.survey.batch(self.split, positions)
        redshift, predicted = batch.redshift, None
        if hasattr(run.model, "predict"):
            latent = run.encode_batch(batch).mean
            predicted = run.model.predict(latent, redshift.to(latent))[1].cpu().numpy()
        figure = draw_reconstruction(
            run.physical(batch.image),
            run.reconstruct_batch(batch),
            None if redshift is None else redshift.numpy(),
            predicted,
            positions,
            self.display(run),
        )
        return {"reconstruction": figure}


def draw_reconstruction(
    originals: np.ndarray,
    reconstructions: np.ndarray,
    redshift: np.ndarray | None = None,
    predicted: np.ndarray | None = None,
    numbers: Sequence[int] | None = None,
    display: Display | None = None,
) -> Figure:
    """Draw originals over reconstructions over residuals.

    Args:
        originals: images (N, B, H, W).
        reconstructions: images (N, B, H, W), on the same scale.
        redshift: (N,), written above each galaxy where it is finite.
        predicted: (N,), the redshifts that a model predicts, written below those.
        numbers: of the galaxies in their split, (N,), written below them.
        display: how galaxies are shown.
    """
    display = display or Display()
    residuals = originals - reconstructions
    top, bottom = 0.4 if predicted is not None else 0.24, 0.22 if numbers is None else 0.34
    figure, axes = grid(3, len(originals), display, 1.02, top, bottom)
    scales = [display.scale(original) for original in originals]
    for column, scale in enumerate(scales):
        display.show(axes[0, column], originals[column], scale)
        display.show(axes[1, column], reconstructions[column], scale)
        display.show_residual(axes[2, column], residuals[column], scale, RESIDUAL)
        title = [redshift_title(redshift[column], axes[0, column])] if redshift is not None else []
        if predicted is not None:
            title.append(f"predicted {predicted[column]:.2f}")
        axes[0, column].set_title("\n".join(filter(None, title)), fontsize=7, pad=3)
        if numbers is not None:
            axes[2, column].set_xlabel(f"no. {numbers[column]}", fontsize=7, labelpad=2)
    mean = ", mean\n" if display.channels.coloured else "\n"
    residual = f"residual{mean}(±{100 * RESIDUAL:g} % of peak)"
    for row, label in enumerate(("survey", "reconstruction", residual)):
        label_row(axes[row, 0], label)
    display.annotate(axes[0, 0], originals[0])
    note = redshift_note(axes[0, 0]) if redshift is not None else ""
    caption = display.caption(originals[0], "the peak of the survey's galaxy", scales)
    add_caption(figure, caption + note)
    return figure
