"""The metrics of an evaluation: one table of their functions, labels and ideal values."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from galgen.evaluation import two_samples
from galgen.evaluation.band_statistics import all_names, colour_names, gradient_names
from galgen.evaluation.redshifts import (
    RedshiftRegressor,
    distance_by_redshift,
    distances_by_redshift,
)

if TYPE_CHECKING:
    from galgen.evaluation.sample import Sample


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
        found = {}
        for name in all_names(self.bands):
            columns = [sample.columns[name] for sample in (self.real, self.generated)]
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
        return dataclasses.replace(self.generated, redshift=self.generated.redshift[order])

    @cached_property
    def slope_and_bias(self) -> tuple[float, float]:
        """Slope and mean offset of the regression's redshifts against the requested ones."""
        return self.regressor.slope_and_bias(self.generated)

    def mean_distance(self, attribute: str) -> float:
        """Return the mean over the headline's distances of one of their attributes."""
        return float(np.mean([getattr(self.distances[name], attribute) for name in self.headline]))

    def mean_of_bands(self, names: Sequence[str], attribute: str) -> float:
        """Return that mean over distances of colours or of their gradients; NaN without any."""
        known = [self.band_distances[name] for name in names if name in self.band_distances]
        return float(np.mean([getattr(each, attribute) for each in known])) if known else np.nan

    def memorisation(self) -> float:
        """Return how much nearer to the training's the generated galaxies are than real ones."""
        samples = (self.generated.known_features, self.real.known_features)
        return two_samples.memorisation(self.training_features, *samples)


@dataclass(frozen=True)
class Metric:
    """A metric of generated galaxies."""

    label: str
    """Heading of its column on the terminal."""
    function: Callable[[Compared], float]
    needs: str = "tables"
    """Attribute of `Compared` that the score needs."""
    ideal: float | None = None
    """Score of galaxies that match the survey's exactly; None if the score has no ideal value."""
    reached: str | None = None
    """What the ideal is called, where a finite sample does not reach the number."""
    in_table: bool = True
    """Whether it has a column on the terminal; evaluation.json has all."""

    @property
    def of_colours(self) -> bool:
        """Whether it is a score of colours, which have a table of their own on the terminal."""
        return self.needs in ("colours", "redshift_colours")

    @property
    def ideal_text(self) -> str:
        """The ideal as tables write it."""
        return self.reached or ("" if self.ideal is None else f"{self.ideal:g}")


METRICS = {
    "mean_w1": Metric("W1/σ", lambda c: c.mean_distance("value"), ideal=0, reached="floor"),
    "mean_w1_floor": Metric("floor", lambda c: c.mean_distance("floor")),
    "c2st": Metric("C2ST", lambda c: two_samples.c2st(*c.tables, c.seed), ideal=0.5),
    "precision": Metric("precision", lambda c: c.neighbourhoods["precision"], ideal=1),
    "recall": Metric("recall", lambda c: c.neighbourhoods["recall"], ideal=1),
    "density": Metric("density", lambda c: c.neighbourhoods["density"], ideal=1, in_table=False),
    "coverage": Metric("coverage", lambda c: c.neighbourhoods["coverage"], ideal=1),
    "frechet": Metric("Fréchet", lambda c: two_samples.frechet(*c.standardised), ideal=0),
    "kernel_distance": Metric(
        "kernel distance",
        lambda c: two_samples.kernel_distance(*c.standardised),
        ideal=0,
        in_table=False,
    ),
    "frechet_encoder": Metric(
        "Fréchet of features",
        lambda c: two_samples.frechet(*c.features),
        needs="features",
        ideal=0,
        in_table=False,
    ),
    "kernel_distance_encoder": Metric(
        "kernel distance of features",
        lambda c: two_samples.kernel_distance(*c.features),
        needs="features",
        ideal=0,
        in_table=False,
    ),
    "left_out": Metric("left out", lambda c: c.left_out, needs="left_out", ideal=0),
    "memorisation": Metric(
        "memor.", lambda c: c.memorisation(), needs="training_features", ideal=1
    ),
    "w1_by_redshift": Metric(
        "by redshift",
        lambda c: distance_by_redshift(c.real, c.generated, c.headline),
        needs="regressor",
        ideal=0,
        reached="floor",
    ),
    "w1_by_redshift_shuffled": Metric(
        "by redshift, shuffled",
        lambda c: distance_by_redshift(c.real, c.shuffled, c.headline),
        needs="regressor",
        in_table=False,
    ),
    "redshift_slope": Metric("slope", lambda c: c.slope_and_bias[0], needs="regressor"),
    "redshift_slope_shuffled": Metric(
        "slope, shuffled",
        lambda c: c.regressor.slope_and_bias(c.shuffled)[0],
        needs="regressor",
        in_table=False,
    ),
    "redshift_bias": Metric(
        "bias", lambda c: c.slope_and_bias[1], needs="regressor", in_table=False
    ),
    "mean_w1_colours": Metric(
        "W1/σ of colours",
        lambda c: c.mean_of_bands(colour_names(c.bands), "value"),
        needs="colours",
        ideal=0,
        reached="floor",
    ),
    "mean_w1_colours_floor": Metric(
        "floor", lambda c: c.mean_of_bands(colour_names(c.bands), "floor"), needs="colours"
    ),
    "c2st_colours": Metric(
        "C2ST of colours",
        lambda c: two_samples.c2st(*c.colours, c.seed),
        needs="colours",
        ideal=0.5,
    ),
    "c2st_colours_shuffled": Metric(
        "C2ST of colours, shuffled",
        lambda c: two_samples.c2st(c.colours[0], c.shuffled_colours, c.seed),
        needs="colours",
        in_table=False,
    ),
    "mean_w1_gradients": Metric(
        "W1/σ of colour gradients",
        lambda c: c.mean_of_bands(gradient_names(c.bands), "value"),
        needs="colours",
        ideal=0,
        reached="floor",
        in_table=False,
    ),
    "mean_w1_gradients_floor": Metric(
        "floor",
        lambda c: c.mean_of_bands(gradient_names(c.bands), "floor"),
        needs="colours",
        in_table=False,
    ),
    "w1_colours_by_redshift": Metric(
        "colours by redshift",
        lambda c: distance_by_redshift(c.real, c.generated, c.redshift_colours),
        needs="redshift_colours",
        ideal=0,
        reached="floor",
    ),
    "w1_colours_by_redshift_shuffled": Metric(
        "colours by redshift, shuffled",
        lambda c: distance_by_redshift(c.real, c.shuffled, c.redshift_colours),
        needs="redshift_colours",
        in_table=False,
    ),
    "c2st_latents": Metric(
        "C2ST of latents",
        lambda c: two_samples.c2st(*c.latents, c.latent_seed),
        needs="latents",
        ideal=0.5,
        in_table=False,
    ),
}
"""By their names in evaluation.json, in its order."""
IDEALS_OF_FITS = {
    "squared_error_per_pixel": 0.0,
    "reduced_chi2": 1.0,
    "elbo": math.inf,
    "log_likelihood": math.inf,
}
"""Ideals of what `galgen.evaluation.likelihood` measures of reconstructions and the evidence; the
name of a prior follows that of the log-likelihood."""


def score(compared: Compared) -> dict[str, float]:
    """Return the metrics by name, except those whose inputs are missing.

    Args:
        compared: generated galaxies beside the survey's.
    """
    return {
        name: metric.function(compared)
        for name, metric in METRICS.items()
        if getattr(compared, metric.needs) is not None
    }


def ideal_of(name: str) -> float | None:
    """Return the score of a perfect model; infinity where larger is better without a bound.

    Args:
        name: of the metric, as in evaluation.json.
    """
    if name in METRICS:
        return METRICS[name].ideal
    if name.startswith("log_likelihood_"):
        name = "log_likelihood"
    return IDEALS_OF_FITS.get(name)
