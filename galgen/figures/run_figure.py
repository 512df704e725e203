"""The base of all figures that are drawn from one run."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from matplotlib.figure import Figure

from galgen.data.split import PARTS
from galgen.errors import GalgenError
from galgen.figures.display import Display, check_display
from galgen.figures.saving import save_all
from galgen.priors.random_numbers import CHOICE, uniform

if TYPE_CHECKING:
    from galgen.runs.trained_run import TrainedRun


class RunFigure:
    """A figure of one run, whose model is loaded.

    A figure is a class that derives from this one, implements `draw`, and is the `_target_` of a
    file in `conf/figure/`.

    Args:
        split: part of the survey that galaxies are taken from: `train`, `val` or `test`.
        bands: those that are shown of galaxies, as `channels.choose_channels`.
        cmap: colour map of single bands, as `display.Display`.
        stretch: stretch of galaxies, as `display.Display`.
        zoom: the middle 1 / zoom of each galaxy's stamp is shown.
        style: `paper`, or `talk` for large letters and few galaxies.
        seed: of the choice of galaxies, and of generated ones; whole number from 0.

    Raises:
        ValueError: if an argument is out of range.
    """

    of_metrics: ClassVar[bool] = False
    """Whether the figure is drawn from the metrics of one or several runs, without a model."""

    def __init__(
        self,
        split: str = "val",
        bands: str | Sequence[str] | None = None,
        cmap: str | None = None,
        stretch: str = "asinh",
        zoom: float = 1.0,
        style: str = "paper",
        seed: int = 0,
    ):
        if split not in PARTS:
            raise ValueError(f"split={split}: it can be one of {', '.join(PARTS)}.")
        uniform(seed, CHOICE, 0, 0, 1)
        self.split, self.seed = split, seed
        check_display(cmap, stretch, zoom, style)
        self.shown = {"cmap": cmap, "stretch": stretch, "zoom": zoom, "style": style}
        self.shown["bands"] = bands

    def draw(self, run: "TrainedRun") -> dict[str, Figure]:
        """Return the figures by name.

        Raises:
            GalgenError: if the run lacks the data to draw.
        """
        raise NotImplementedError

    def write(self, run: "TrainedRun", folder: Path, suffix: str = "") -> list[Path]:
        """Draw, and write each figure as PNG and as PDF; return the files."""
        return save_all(self.draw(run), folder, suffix)

    def display(self, run: "TrainedRun") -> Display:
        """Return how the run's galaxies are shown."""
        return display_of(run, **self.shown)

    def choose(self, run: "TrainedRun", galaxies: Sequence[int] | int | None, n: int) -> np.ndarray:
        """Return the positions of chosen galaxies in the split, or of n random ones.

        Raises:
            GalgenError: if there are none, or no such.
        """
        there = len(run.survey.parts[self.split])
        if not there:
            raise GalgenError(f"split={self.split}: {run.name} has no galaxies in this part.")
        if galaxies is None:
            order = np.argsort(uniform(self.seed, CHOICE, 0, there, 1)[:, 0])
            return np.sort(order[:n])
        galaxies = galaxies if isinstance(galaxies, Sequence) else [galaxies]
        if not galaxies:
            raise GalgenError("galaxies=[]: name at least one, or leave it out.")
        bad = [g for g in galaxies if type(g) is not int or not 0 <= g < there]
        if bad:
            raise GalgenError(
                f"galaxy {bad[0]}: not available; the part '{self.split}' has galaxies 0 to "
                f"{there - 1}."
            )
        return np.array(galaxies)


def display_of(run: "TrainedRun", **shown) -> Display:
    """Return how a run's galaxies are shown.

    Args:
        run: the trained run.
        **shown: what was chosen, as `Display`.
    """
    return Display(
        **shown,
        names=run.bands,
        zero_points=run.colour_zero_points,
        reference=run.reference,
        pixel_scale=run.pixel_scale,
    )


def check_positive(**numbers: float) -> None:
    """Check that numbers are positive.

    Raises:
        ValueError: naming the first that is not.
    """
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name}={value}: it must be positive.")
