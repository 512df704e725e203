"""Galaxies that change from left to right: in redshift, or from one to another."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from galgen.errors import GalgenError
from galgen.figures.display import Display
from galgen.figures.layout import draw_rows
from galgen.figures.run_figure import RunFigure, check_positive
from galgen.runs.conditions import SURVEY

if TYPE_CHECKING:
    from galgen.runs.trained_run import TrainedRun


class Interpolation(RunFigure):
    """Galaxies that change from left to right: in redshift, or from one to another.

    Args:
        n: number of galaxies, chosen at random, a row each.
        galaxies: numbers of galaxies in the split, instead.
        redshift: of the decoded images, a range or a list; the middle 90 % of the survey's
            where None.
        between: numbers of two galaxies; latent and redshift go from one to the other.
        steps: decoded images in a row.
        **arguments: as `RunFigure`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        n: int = 4,
        galaxies: Sequence[int] | None = None,
        redshift: float | str | Sequence[float] | None = None,
        between: Sequence[int] | None = None,
        steps: int = 7,
        **arguments,
    ):
        super().__init__(**arguments)
        check_positive(n=n, steps=steps)
        if between is not None and (isinstance(between, int | str) or len(between) != 2):
            raise ValueError(f"between={between}: it takes two galaxies: between=[12,40].")
        if between is not None and redshift is not None:
            raise ValueError("between and redshift: the figure can vary only one of them")
        self.n, self.galaxies, self.steps = n, galaxies, steps
        self.redshift, self.between = redshift, between

    def draw(self, run: "TrainedRun") -> dict[str, Figure]:
        """Return the figure `interpolation`.

        Raises:
            GalgenError: if the run's model does not use redshift.
        """
        from galgen.runs.requested_conditions import requested_redshifts, training_redshifts

        if self.between is not None:
            return {"interpolation": self._between(run)}
        if not run.model.conditional and self.redshift is None:
            raise GalgenError(
                f"{run.name} is a {run.model.name}, which does not use redshift. Give two "
                "galaxies, between=[0,1]."
            )
        redshift = requested_redshifts(run, SURVEY if self.redshift is None else self.redshift)
        survey = training_redshifts(run) if redshift.values is None else None
        redshifts = redshift.steps(self.steps, survey)
        positions = self.choose(run, self.galaxies, self.n)
        images, own = decode_at(run, self.split, positions, redshifts)
        labels = [f"no. {p}\nredshift {z:.2f}" for p, z in zip(positions, own, strict=True)]
        titles = ["survey", *(f"redshift {redshift:.2f}" for redshift in redshifts)]
        return {"interpolation": draw_interpolation(images, titles, labels, self.display(run))}

    def _between(self, run: "TrainedRun") -> Figure:
        import torch

        positions = self.choose(run, self.between, 2)
        batch = run.survey.batch(self.split, positions)
        ends = run.encode_batch(batch).mean.cpu()
        way, condition = torch.linspace(0, 1, self.steps), None
        if run.model.conditional:
            condition = torch.lerp(*batch.redshift[:, None], way)
        decoded = run.decode(torch.lerp(ends[:1], ends[1:], way[:, None]), condition)
        originals = run.physical(batch.image)
        images = np.concatenate([originals[:1], decoded, originals[1:]])[None]
        titles = [f"{share:.0%}" for share in way.tolist()]
        first, last = (f"no. {position}" for position in positions)
        if condition is not None:
            shown = [f"redshift {z:.2f}" for z in condition.tolist()]
            titles = [f"decoded\n{title}" for title in shown]
            first, last = f"{first}\n{shown[0]}", f"{last}\n{shown[-1]}"
        return draw_interpolation(images, [first, *titles, last], [""], self.display(run))


def decode_at(
    run: "TrainedRun", split: str, positions: np.ndarray, redshifts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Decode galaxies of a conditional run at other redshifts than their own.

    Args:
        run: the trained run.
        split: part of its survey.
        positions: of the galaxies in it, (N,).
        redshifts: (steps,).

    Returns:
        The galaxies and their images at each redshift, (N, 1 + steps, B, H, W), and the
        galaxies' own redshifts, (N,).
    """
    batch = run.survey.batch(split, positions)
    latent = run.encode_batch(batch).mean
    columns = [run.physical(batch.image), *(run.decode(latent, float(z)) for z in redshifts)]
    return np.stack(columns, axis=1), batch.redshift.numpy()


def draw_interpolation(
    images: np.ndarray,
    titles: Sequence[str],
    labels: Sequence[str],
    display: Display | None = None,
) -> Figure:
    """Draw galaxies that change from left to right.

    Args:
        images: (rows, columns, B, H, W), a galaxy a row.
        titles: of the columns.
        labels: of the rows.
        display: how galaxies are shown.
    """
    return draw_rows(images, titles, labels, display or Display())
