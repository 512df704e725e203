"""Generated galaxies, side by side at several redshifts, magnitudes or sizes if so asked."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from galgen.errors import GalgenError
from galgen.figures.display import Display
from galgen.figures.layout import add_caption, grid, label_row, redshift_note, redshift_title
from galgen.figures.run_figure import RunFigure, check_positive
from galgen.runs.conditions import SURVEY, Conditions
from galgen.runs.prior_records import the_one_prior

if TYPE_CHECKING:
    from galgen.runs.trained_run import TrainedRun

COLUMNS = 8
"""Of generated galaxies, at most."""
TITLES = {
    "redshift": redshift_title,
    "magnitude": lambda value, _: f"{value:.4g} mag",
    "size": lambda value, _: f"{value:.3g} arcsec",
}
"""Of a galaxy or a column, by the condition whose value it shows."""


class Samples(RunFigure):
    """Generated galaxies, side by side at several redshifts, magnitudes or sizes if so asked.

    Args:
        n: number of pictures.
        galaxies: numbers of generated galaxies instead of the first.
        redshift: a number, a range, a list, or `survey`; the values of a range or a list are put
            side by side, for the same random numbers.
        magnitude: AB, likewise; of priors that know it. If several conditions have ranges or
            lists, the first is put side by side.
        size: half-light radius, arcsec, likewise.
        steps: columns of a range.
        priors: name of the prior that latents are drawn from; by default the run's own.
        **arguments: as `RunFigure`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        n: int = 24,
        galaxies: Sequence[int] | None = None,
        redshift: float | str | Sequence[float] | None = None,
        magnitude: float | str | Sequence[float] | None = None,
        size: float | str | Sequence[float] | None = None,
        steps: int = 6,
        priors: Sequence[str] = (),
        **arguments,
    ):
        super().__init__(**arguments)
        check_positive(n=n, steps=steps)
        self.n, self.galaxies, self.redshift, self.steps = n, galaxies, redshift, steps
        self.others = {"magnitude": magnitude, "size": size}
        self.prior = the_one_prior(priors)

    def draw(self, run: "TrainedRun") -> dict[str, Figure]:
        """Return the figure `samples`."""
        from galgen.runs.image_facts import PEAK
        from galgen.runs.requested_conditions import requested_conditions

        by_default = SURVEY if run.model.conditional else None
        wanted = by_default if self.redshift is None else self.redshift
        keys = {**self.others, "redshift": wanted}
        prior = run.prior_for(self.prior, keys)
        conditions = requested_conditions(run, keys, prior)
        several = [
            name
            for name, condition in conditions.requested.items()
            if condition.values is not None and np.size(condition.values) > 1
        ]
        shown = next(iter(several), "redshift")  # by the titles of galaxies or columns
        condition = conditions.requested.pop(shown, None)
        if several:
            values = condition.steps(self.steps)
            numbers = self._numbers(max(1, self.n // len(values)))
            columns = [{shown: np.full(len(numbers), value)} for value in values]
            made = [self._make(run, prior, conditions, numbers, column) for column in columns]
            images = np.stack(made, axis=1)
        else:
            numbers, values, given = self._numbers(self.n), None, {}
            columns = max(width for width in range(1, COLUMNS + 1) if len(numbers) % width == 0)
            if condition is not None:
                survey = conditions.survey.get(shown)
                chosen = [condition.draw(self.seed, k, 1, survey)[0] for k in numbers.tolist()]
                given = {shown: np.array(chosen)}
                values = given[shown].reshape(-1, columns)
            images = self._make(run, prior, conditions, numbers, given)
            images = images.reshape(-1, columns, *images.shape[1:])
        others = [
            f", {name}s of the survey" if condition.text == SURVEY else f", {name} {condition.text}"
            for name, condition in conditions.requested.items()
        ]
        figure = draw_samples(
            images,
            values,
            1.0 if run.unit == PEAK else None,
            self.display(run),
            run.priors[prior].label,
            numbers if several else None,
            "".join(others),
            shown,
        )
        return {"samples": figure}

    def _numbers(self, n: int) -> np.ndarray:
        """Return the numbers of the galaxies that are generated; n in whole rows, if not chosen.

        Raises:
            GalgenError: if one is not a valid galaxy number.
        """
        if self.galaxies is None:
            return np.arange(n if n < COLUMNS else -(-n // COLUMNS) * COLUMNS)
        chosen = self.galaxies if isinstance(self.galaxies, Sequence) else [self.galaxies]
        if not chosen or any(type(number) is not int or number < 0 for number in chosen):
            raise GalgenError(f"galaxies={self.galaxies}: galaxy numbers start at 0.")
        return np.array(chosen)

    def _make(
        self,
        run: "TrainedRun",
        prior: str,
        conditions: Conditions,
        numbers: np.ndarray,
        given: dict[str, np.ndarray],
    ) -> np.ndarray:
        """Generate galaxies of some numbers (n,), as any other command makes them.

        Args:
            run: the trained run.
            prior: that latents are drawn from.
            conditions: that are drawn by the galaxies' numbers.
            numbers: of the galaxies, (n,).
            given: the other conditions, (n,) by name.
        """
        places = np.arange(len(numbers))
        made = []
        for piece in [places] if self.galaxies is None else places[:, None]:
            first, n = int(numbers[piece[0]]), len(piece)
            values = conditions.draw(self.seed, first, n)
            values |= {name: column[piece] for name, column in given.items()}
            redshift = values.pop("redshift", None)
            made.append(run.sample(n, redshift, prior, self.seed, first, **values))
        return np.concatenate(made)


def draw_samples(
    images: np.ndarray,
    values: Sequence[float] | np.ndarray | None = None,
    peak: float | None = None,
    display: Display | None = None,
    prior: str = "N(0, 1)",
    numbers: Sequence[int] | None = None,
    others: str = "",
    condition: str = "redshift",
) -> Figure:
    """Draw a grid of generated galaxies.

    Args:
        images: (rows, columns, B, H, W).
        values: of a condition; of the columns, (columns,), where a row is one galaxy; of each
            galaxy, (rows, columns); None where none is asked for.
        peak: brightest pixel of the colour scale; each image's own where None.
        display: how galaxies are shown.
        prior: label of the prior that the latents were drawn from.
        numbers: of the galaxies, (rows,) where a row is one latent.
        others: the other requested conditions, as text for the title.
        condition: whose values they are.
    """
    display = display or Display()
    rows, columns = images.shape[:2]
    numbers = range(rows) if numbers is None else numbers
    shape = np.shape(values) if values is not None else None
    by_column, by_galaxy = shape == (columns,), shape == (rows, columns)
    left, gap = (0.6 if by_column else 0.05), (0.22 if by_galaxy else 0.04)
    top = 0.38 if shape else 0.24
    figure, axes = grid(rows, columns, display, left, top, gap=gap)
    scales = []
    for row, column in np.ndindex(rows, columns):
        image, axis = images[row, column], axes[row, column]
        scales.append(display.scale(image, peak))
        display.show(axis, image, scales[-1])
        if by_galaxy or (by_column and row == 0):
            value = values[row][column] if by_galaxy else values[column]
            axis.set_title(TITLES[condition](value, axis), fontsize=7, pad=2)
        if by_column and column == 0:
            label_row(axis, f"galaxy {numbers[row]}")
    figure.suptitle(f"generated galaxies, prior: {prior}{others}", fontsize=8, y=0.995, va="top")
    display.annotate(axes[0, 0], images[0, 0])
    brightest = f"{peak:g} (the peak of a galaxy)" if peak else "each galaxy's peak"
    note = redshift_note(axes[0, 0]) if shape and condition == "redshift" else ""
    add_caption(figure, display.caption(images[0, 0], brightest, scales) + note)
    return figure
