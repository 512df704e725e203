"""Generated galaxies beside the survey's, with what metrics are computed from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from galgen.evaluation import two_samples
from galgen.evaluation.band_statistics import all_names, colour_names
from galgen.evaluation.redshifts import RedshiftRegressor, distances_by_redshift

if TYPE_CHECKING:
    from galgen.evaluation.sample import Sample

CLEAR = 2.5
"""Mean signal-to-noise of a pixel from which statistics of structure mean something (Lotz et al.
2006)."""


@dataclass
class Compared:
    """Generated galaxies beside the survey's, and all else that metrics are computed from."""

    real: "Sample"
    """The survey's galaxies."""
    generated: "Sample"
    """Scored galaxies, with their requested redshifts."""
    statistics: Sequence[str]
    """Names of the statistics that are compared."""
    headline: Sequence[str]
    """Those of them whose mean distance is the headline."""
    training_features: np.ndarray | None = None
    """Features of the training galaxies, (N, D)."""
    regressor: RedshiftRegressor | None = None
    """Trained on the survey; None where redshifts are not scored."""
    latents: list[np.ndarray] | None = None
    """Latents of test galaxies, and as many that were drawn from a prior, (N, D) each."""
    latent_seed: int = 0
    """Of the classifier of latents."""
    seed: int = 0
    """Of all other choices and bootstraps."""
    bands: Sequence[str] = ()
    """Names of the bands whose colours are compared."""
    structure: Sequence[str] | None = None
    """Names of the statistics of structure; None where they cannot be compared."""

    @cached_property
    def left_out(self) -> float:
        """The share of generated galaxies that lack one of the statistics."""
        return 1 - np.count_nonzero(self.generated.complete(self.statistics)) / len(self.generated)

    @cached_property
    def tables(self) -> list[np.ndarray] | None:
        """The statistics of real and generated galaxies, (N, D) each; None of too few galaxies."""
        tables = [sample.table(self.statistics) for sample in (self.real, self.generated)]
        tables = [table[np.isfinite(table).all(axis=1)] for table in tables]
        return None if min(map(len, tables)) < two_samples.FEWEST else tables

    @cached_property
    def standardised(self) -> list[np.ndarray]:
        """The tables in units of the real scatter."""
        return two_samples.standardised(*self.tables)

    @cached_property
    def features(self) -> list[np.ndarray] | None:
        """Standardised features of the images, (N, D) each; None where there are none."""
        if self.tables is None or self.real.features is None or self.generated.features is None:
            return None
        return two_samples.standardised(self.real.known_features, self.generated.known_features)

    @cached_property
    def distances(self) -> dict[str, two_samples.Score]:
        """The Wasserstein distance of each statistic; none of too few galaxies."""
        if self.tables is None:
            return {}
        return {
            name: two_samples.wasserstein(*(table[:, n] for table in self.tables), self.seed)
            for n, name in enumerate(self.statistics)
        }

    @cached_property
    def band_distances(self) -> dict[str, two_samples.Score]:
        """The Wasserstein distance of each statistic of a band, and of each colour.

        Of the galaxies that have it; none of too few.
        """
        return self._distances_of(all_names(self.bands), self.real, self.generated)

    @cached_property
    def structure_distances(self) -> dict[str, two_samples.Score]:
        """The Wasserstein distance of each statistic of structure, by `<name> of clear galaxies`.

        Clear are galaxies whose pixels stand out of the noise; where it is not known, all.
        """
        samples = [sample[is_clear(sample)] for sample in (self.real, self.generated)]
        found = self._distances_of(self.structure or (), *samples)
        return {f"{name} of clear galaxies": distance for name, distance in found.items()}

    def _distances_of(
        self, names: Sequence[str], real: "Sample", generated: "Sample"
    ) -> dict[str, two_samples.Score]:
        """Return the distance of each statistic over the galaxies that have it; none of too few."""
        found = {}
        for name in names:
            columns = [sample.columns[name] for sample in (real, generated)]
            columns = [column[np.isfinite(column)] for column in columns]
            if min(map(len, columns)) >= two_samples.FEWEST:
                found[name] = two_samples.wasserstein(*columns, self.seed)
        return found

    @cached_property
    def colours(self) -> list[np.ndarray] | None:
        """The colours of galaxies that have one, real and generated, NaN where a band lacks.

        (N, B - 1) each; None of too few galaxies.
        """
        if not self.bands:
            return None
        names = colour_names(self.bands)
        tables = [sample.table(names) for sample in (self.real, self.generated)]
        tables = [table[np.isfinite(table).any(axis=1)] for table in tables]
        return None if min(map(len, tables)) < two_samples.FEWEST else tables

    @cached_property
    def shuffled_colours(self) -> np.ndarray:
        """The generated galaxies' colours, each shuffled among those that have it."""
        rng, table = np.random.default_rng(self.seed), self.colours[1].copy()
        for column in table.T:
            known = np.isfinite(column)
            column[known] = rng.permutation(column[known])
        return table

    @property
    def redshift_colours(self) -> list[str] | None:
        """The names of the colours, where they are scored by redshift."""
        return colour_names(self.bands) if self.bands and self.regressor else None

    @cached_property
    def colours_by_redshift(self) -> dict[str, list[float]]:
        """The Wasserstein distance of each colour in each bin of redshift."""
        names = self.redshift_colours
        found = distances_by_redshift(self.real, self.generated, names)
        return dict(zip(names, found.tolist(), strict=True))

    @cached_property
    def neighbourhoods(self) -> dict[str, float]:
        """Precision, recall, density and coverage."""
        return two_samples.neighbourhoods(*self.tables)

    @cached_property
    def shuffled(self) -> "Sample":
        """The generated galaxies with shuffled redshifts, which scores the same if ignored."""
        order = np.random.default_rng(self.seed).permutation(len(self.generated))
        return replace(self.generated, redshift=self.generated.redshift[order])

    @cached_property
    def slope_and_bias(self) -> tuple[float, float]:
        """Slope and mean offset of the regression's redshifts against the requested ones."""
        return self.regressor.slope_and_bias(self.generated)

    def mean_distance(self, attribute: str) -> float:
        """Return the mean over the headline's distances of one of their attributes."""
        return float(np.mean([getattr(self.distances[name], attribute) for name in self.headline]))

    def mean_of_structure(self, attribute: str) -> float:
        """Return that mean over distances of structure; NaN where too few galaxies are clear."""
        values = [getattr(each, attribute) for each in self.structure_distances.values()]
        return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan

    def mean_of_bands(self, names: Sequence[str], attribute: str) -> float:
        """Return that mean over distances of colours or of their gradients; NaN without any."""
        known = [self.band_distances[name] for name in names if name in self.band_distances]
        return float(np.mean([getattr(each, attribute) for each in known])) if known else np.nan

    def memorisation(self) -> float:
        """Return how much nearer to the training's the generated galaxies are than real ones."""
        samples = (self.generated.known_features, self.real.known_features)
        return two_samples.memorisation(self.training_features, *samples)


def is_clear(sample: "Sample") -> np.ndarray:
    """Tell which galaxies stand out of their noise, (N,) of bool; all where it is not known."""
    signal = sample.columns["snr"]
    return signal >= CLEAR if np.isfinite(signal).any() else np.ones(len(sample), bool)
