"""The metrics of an evaluation: one table of their functions, labels and ideal values."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from galgen.evaluation import two_samples
from galgen.evaluation.band_statistics import colour_names, gradient_names
from galgen.evaluation.compared import Compared
from galgen.evaluation.redshifts import distance_by_redshift


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
    "mean_w1_structure": Metric(
        "structure",
        lambda c: c.mean_of_structure("value"),
        needs="structure",
        ideal=0,
        reached="floor",
    ),
    "mean_w1_structure_floor": Metric(
        "floor", lambda c: c.mean_of_structure("floor"), needs="structure"
    ),
    "c2st": Metric("C2ST", lambda c: two_samples.c2st(*c.tables, c.seed), ideal=0.5),
    "precision": Metric("precision", lambda c: c.neighbourhoods["precision"], ideal=1),
    "recall": Metric("recall", lambda c: c.neighbourhoods["recall"], ideal=1),
    "density": Metric("density", lambda c: c.neighbourhoods["density"], ideal=1, in_table=False),
    "coverage": Metric("coverage", lambda c: c.neighbourhoods["coverage"], ideal=1),
    "frechet": Metric(
        "Fréchet", lambda c: two_samples.frechet(*c.standardised), ideal=0, in_table=False
    ),
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
