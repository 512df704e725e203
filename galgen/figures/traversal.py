"""What each latent dimension does to a galaxy, a row a dimension, sorted by KL."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from galgen.figures.display import Display
from galgen.figures.layout import draw_rows
from galgen.figures.run_figure import RunFigure, check_positive

if TYPE_CHECKING:
    from galgen.runs.trained_run import TrainedRun


class Traversal(RunFigure):
    """What each latent dimension does to a galaxy, a row a dimension, sorted by KL.

    Args:
        galaxy: number of the galaxy in the split; a random one where None.
        dimensions: at most this number, those of largest KL.
        limit: the latent goes from -limit to limit.
        steps: images in a row.
        **arguments: as `RunFigure`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        galaxy: int | None = None,
        dimensions: int = 8,
        limit: float = 3.0,
        steps: int = 7,
        **arguments,
    ):
        super().__init__(**arguments)
        check_positive(dimensions=dimensions, steps=steps, limit=limit)
        self.galaxy, self.dimensions, self.limit, self.steps = galaxy, dimensions, limit, steps

    def draw(self, run: "TrainedRun") -> dict[str, Figure]:
        """Return the figure `traversal`."""
        from galgen.runs.encoded_survey import encode_part

        position = self.choose(run, self.galaxy, 1)[0]
        latents = encode_part(run, self.split)
        order = np.argsort(latents.kl)[::-1][: self.dimensions]
        values = np.linspace(-self.limit, self.limit, self.steps)
        latent = np.tile(latents.mean[position], (len(order), self.steps, 1))
        for row, dimension in enumerate(order):
            latent[row, :, dimension] = values
        condition = latents.redshift[position] if run.model.conditional else None
        flat = latent.reshape(-1, latent.shape[-1])
        images = run.decode(flat, condition)
        images = images.reshape(len(order), self.steps, *images.shape[1:])
        figure = draw_traversal(images, values, order, latents.kl[order], self.display(run))
        return {"traversal": figure}


def draw_traversal(
    images: np.ndarray,
    values: np.ndarray,
    dimensions: Sequence[int],
    kl: np.ndarray,
    display: Display | None = None,
) -> Figure:
    """Draw what each latent dimension does to a galaxy, a row a dimension.

    Args:
        images: (D, steps, B, H, W).
        values: of the latent in the columns, (steps,).
        dimensions: numbers of the dimensions, (D,).
        kl: of these dimensions, (D,), nats.
        display: how galaxies are shown.
    """
    labels = [f"latent {d}\n{nats:.2f} nats" for d, nats in zip(dimensions, kl, strict=True)]
    titles = [f"{value:+.1f}" for value in values]
    return draw_rows(
        images,
        titles,
        labels,
        display or Display(),
        note="; columns: value of the latent, rows: its KL",
    )
