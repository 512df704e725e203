"""The redshifts that a user asks for: one, a range, a list, or the survey's own."""

from collections.abc import Sequence

import numpy as np

from galgen.draws import REDSHIFT, uniform
from galgen.errors import GalgenError

SURVEY = "survey"
LARGEST = 1000
FORMS = "give a number (0.5), a range (0.1:2), a list ([0.1,0.5]) or 'survey'"


class Redshifts:
    """What `redshift=` asks for.

    Args:
        text: a number; a range `low:high`; a list of numbers; or `survey`, the redshifts of the
            training part.

    Attributes:
        text: how it was asked for, as text.
        values: the numbers of a list, or the one number; the bounds of a range; None of the
            survey's.
        is_range: whether `values` are the bounds of a range.

    Raises:
        GalgenError: if it is none of these, or a redshift is negative or not finite.
    """

    def __init__(self, text: float | str | Sequence[float]):
        self.is_range = isinstance(text, str) and ":" in text
        self.text = str(text) if isinstance(text, float | int | str) else str(list(text))
        self.values = None if text == SURVEY else self._numbers(text)
        if self.is_range and (len(self.values) != 2 or not self.values[0] < self.values[1]):
            raise GalgenError(f"redshift={text}: a range is low:high, such as 0.1:2")
        if self.values is not None and not len(self.values):
            raise GalgenError("redshift=[]: the list is empty")

    def steps(self, n: int, survey: np.ndarray | None = None) -> np.ndarray:
        """Return redshifts to show side by side.

        Args:
            n: how many, of a range or the survey's; a list gives all of its own.
            survey: redshifts of the survey, (N,); their middle 90 % is spanned.

        Returns:
            Array (n,), or (len(list),), ascending unless it is a list.
        """
        if self.values is None:
            return np.linspace(*np.percentile(survey, [5, 95]), n)
        return np.linspace(*self.values, n) if self.is_range else self.values

    def draw(self, seed: int, start: int, n: int, survey: np.ndarray | None = None) -> np.ndarray:
        """Return the redshifts of galaxies `start` to `start + n - 1`, each by its number alone.

        Args:
            seed: of the galaxies.
            start: number of the first.
            n: how many.
            survey: redshifts of the survey, (N,), of which each galaxy gets one.

        Returns:
            Array (n,), float64: uniform in a range, the next of a list, one of the survey's.
        """
        chance = uniform(seed, REDSHIFT, start, n, 1)[:, 0]
        if self.values is None:
            return np.asarray(survey, float)[(chance * len(survey)).astype(int)]
        if self.is_range:
            low, high = self.values
            return low + (high - low) * chance
        return self.values[np.arange(start, start + n) % len(self.values)]

    def outside(self, trained: tuple[float, float]) -> str | None:
        """Say so if a model was not trained on such redshifts.

        Args:
            trained: smallest and largest redshift of the training part.
        """
        if self.values is None:
            return None
        low, high = trained
        if self.values.min() >= low and self.values.max() <= high:
            return None
        return (
            f"redshift={self.text} goes beyond the {low:.3g} to {high:.3g} that the model was "
            "trained on: what it makes there is extrapolated"
        )

    def _numbers(self, text) -> np.ndarray:
        parts = text.split(":") if isinstance(text, str) else text
        parts = parts if isinstance(parts, Sequence) else [parts]
        try:
            if any(isinstance(part, bool) for part in parts):
                raise TypeError
            values = np.array([float(part) for part in parts])
        except (TypeError, ValueError):
            raise GalgenError(f"redshift={text}: {FORMS}") from None
        bad = [value for value in values if not 0 <= value <= LARGEST]
        if bad:
            raise GalgenError(f"redshift={text}: {bad[0]} is no redshift, it takes 0 to {LARGEST}")
        return values
