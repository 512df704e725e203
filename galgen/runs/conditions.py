"""Requested conditions: redshift, magnitude and size, each as a number, range or list."""

from collections.abc import Mapping, Sequence

import numpy as np

from galgen.data.stamp_file import LARGEST_REDSHIFT
from galgen.errors import GalgenError
from galgen.priors.random_numbers import MAGNITUDE, REDSHIFT, ROW, SIZE, uniform

SURVEY = "survey"
FORMS = "give a number (0.5), a range (0.1:2), a list ([0.1,0.5]) or 'survey'"
STREAMS = {"redshift": REDSHIFT, "magnitude": MAGNITUDE, "size": SIZE}
"""Streams of random numbers by the name of the condition."""
COLUMNS = {"redshift": "redshift", "magnitude": "magnitude", "size": "flux_radius"}
"""Columns of a stamp file by the name of the condition."""
LIMITS = {
    "redshift": (0, LARGEST_REDSHIFT),
    "magnitude": (-50, 50),
    "size": (0, 3600),
}
"""Smallest and largest values: redshifts as in catalogues, AB magnitudes, half-light radii in
arcsec."""


class Condition:
    """What a condition's key asks for.

    Args:
        name: of the condition: `redshift`, `magnitude` or `size`.
        request: a number; a range `low:high`; a list of numbers; or `survey`, the values of the
            training part.

    Attributes:
        name: of the condition.
        text: the request as text.
        values: the numbers of a list, or the one number; the bounds of a range; None of the
            survey's.
        is_range: whether `values` are the bounds of a range.

    Raises:
        GalgenError: if it is none of these, or a number is out of the condition's limits.
    """

    def __init__(self, name: str, request: float | str | Sequence[float]):
        if isinstance(request, np.generic | np.ndarray):
            request = request.tolist()
        self.name = name
        self.is_range = isinstance(request, str) and ":" in request
        self.text = str(request) if isinstance(request, float | int | str) else str(list(request))
        self.values = None if request == SURVEY else self._numbers(request)
        if self.is_range and (len(self.values) != 2 or not self.values[0] < self.values[1]):
            raise GalgenError(f"{name}={request}: a range is low:high, such as 0.1:2.")
        if self.values is not None and not len(self.values):
            raise GalgenError(f"{name}=[]: the list is empty; {FORMS}.")

    def steps(self, n: int, survey: np.ndarray | None = None) -> np.ndarray:
        """Return values to show side by side.

        Args:
            n: how many, of a range or the survey's; a list gives all of its own.
            survey: values of the survey, (N,); their middle 90 % is spanned.

        Returns:
            Array (n,), or (len(list),), ascending unless it is a list.
        """
        if self.values is None:
            return np.linspace(*np.nanpercentile(survey, [5, 95]), n)
        return np.linspace(*self.values, n) if self.is_range else self.values

    def draw(self, seed: int, start: int, n: int, survey: np.ndarray | None = None) -> np.ndarray:
        """Return the values of galaxies `start` to `start + n - 1`, each by its number alone.

        Args:
            seed: of the galaxies.
            start: number of the first.
            n: how many.
            survey: values of the survey, (N,), of which each galaxy gets one; the same galaxy's of
                several conditions.

        Returns:
            Array (n,), float64: uniform in a range, the list's repeated in order, or the survey's.
        """
        if self.values is None:
            chance = uniform(seed, ROW, start, n, 1)[:, 0]
            return np.asarray(survey, float)[(chance * len(survey)).astype(int)]
        if self.is_range:
            low, high = self.values
            return low + (high - low) * uniform(seed, STREAMS[self.name], start, n, 1)[:, 0]
        return self.values[np.arange(start, start + n) % len(self.values)]

    def outside(self, trained: tuple[float, float]) -> str | None:
        """Say so if a model was not trained on such values.

        Args:
            trained: smallest and largest of the training part.
        """
        if self.values is None:
            return None
        low, high = trained
        if self.values.min() >= low and self.values.max() <= high:
            return None
        return (
            f"{self.name}={self.text} goes beyond the {low:.3g} to {high:.3g} of the training: "
            "there the model extrapolates"
        )

    def _numbers(self, request) -> np.ndarray:
        parts = request.split(":") if isinstance(request, str) else request
        parts = parts if isinstance(parts, Sequence) else [parts]
        try:
            if any(isinstance(part, bool) for part in parts):
                raise TypeError
            values = np.array([float(part) for part in parts])
        except (TypeError, ValueError):
            raise GalgenError(f"{self.name}={request}: {FORMS}.") from None
        low, high = LIMITS[self.name]
        for value in values:
            if not low <= value <= high:
                raise GalgenError(
                    f"{self.name}={request}: {value:g} is not a {self.name.replace('_', ' ')}. It "
                    f"takes {low} to {high}."
                )
        return values


class Conditions:
    """The conditions of galaxies that a run generates, by their numbers.

    Args:
        requested: conditions by name.
        survey: the training part's values by name, (N,) each, a row a galaxy; of those conditions
            that are the survey's.
    """

    def __init__(
        self, requested: dict[str, Condition], survey: dict[str, np.ndarray] | None = None
    ):
        self.requested, self.survey = requested, survey or {}

    def draw(self, seed: int, start: int, n: int) -> dict[str, np.ndarray]:
        """Return the conditions of galaxies `start` to `start + n - 1`, (n,) float64 by name."""
        return {
            name: condition.draw(seed, start, n, self.survey.get(name))
            for name, condition in self.requested.items()
        }

    @property
    def text(self) -> str:
        """The requests as text."""
        return ", ".join(f"{name}={condition.text}" for name, condition in self.requested.items())


def read_conditions(keys: Mapping) -> dict[str, Condition]:
    """Read the conditions among the keys of a command, in their order.

    Args:
        keys: values by name; None for those not requested.

    Raises:
        GalgenError: if a value is not possible for the condition.
    """
    return {name: Condition(name, keys[name]) for name in STREAMS if keys.get(name) is not None}
