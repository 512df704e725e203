"""The scores of a generated sample against a real one."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from galgen.evaluation import metrics
from galgen.evaluation.sample import Sample

LARGEST_KERNEL = 5000
"""Galaxies that the kernel distance compares; it takes memory of the square of the number."""
BINS = 4
"""Of redshift."""
FEWEST = 30
"""Galaxies that a redshift bin, or a score, needs."""


def score(
    real: Sample,
    generated: Sample,
    names: Sequence[str],
    core: Sequence[str],
    seed: int = 0,
) -> tuple[dict[str, float], dict[str, metrics.Score]]:
    """Score a sample's statistics, and its features where there are some.

    Args:
        real: the survey's galaxies.
        generated: those that are scored.
        names: of the statistics.
        core: those whose mean distance is the headline.
        seed: of choices and bootstraps.

    Returns:
        Scores by name; and the Wasserstein distance of each statistic. Where too few galaxies can
        be measured there are none.
    """
    kept = [sample[sample.complete(names)] for sample in (real, generated)]
    left_out = 1 - len(kept[1]) / len(generated)
    if min(map(len, kept)) < FEWEST:
        return {"left_out": left_out}, {}
    tables = [sample.table(names) for sample in kept]
    distances = {
        name: metrics.wasserstein(*(table[:, number] for table in tables), seed)
        for number, name in enumerate(names)
    }
    standardised = metrics.standardised(*tables)
    scores = {
        "mean_w1": float(np.mean([distances[name].value for name in core])),
        "mean_w1_floor": float(np.mean([distances[name].floor for name in core])),
        "c2st": metrics.c2st(*tables, seed),
        **metrics.neighbourhoods(*tables),
        "frechet": metrics.frechet(*standardised),
        "kernel_distance": _kernel_distance(*standardised),
    }
    if real.features is not None and generated.features is not None:
        features = metrics.standardised(real.known_features, generated.known_features)
        scores["frechet_encoder"] = metrics.frechet(*features)
        scores["kernel_distance_encoder"] = _kernel_distance(*features)
    scores["left_out"] = left_out
    return scores, distances


def score_redshifts(
    real: Sample,
    generated: Sample,
    core: Sequence[str],
    regressor: "RedshiftRegressor",
    seed: int = 0,
) -> dict[str, float]:
    """Score how a sample follows its redshifts, beside the same with shuffled ones.

    A model that ignores the redshift scores the same with both.

    Args:
        real: the survey's galaxies.
        generated: those that are scored, with the redshifts that were asked for.
        core: statistics that are compared in bins of redshift.
        regressor: of redshift, trained on the survey.
        seed: of the shuffling.

    Returns:
        `w1_by_redshift`, the mean Wasserstein distance over bins and statistics, and
        `redshift_slope`, of the regression's redshifts against those asked for, with both
        `_shuffled`; and `redshift_bias`, their mean difference, which shuffling does not change.
    """
    order = np.random.default_rng(seed).permutation(len(generated))
    shuffled = dataclasses.replace(generated, redshift=generated.redshift[order])
    slope, bias = regressor.slope_and_bias(generated)
    return {
        "w1_by_redshift": _distance_by_redshift(real, generated, core),
        "w1_by_redshift_shuffled": _distance_by_redshift(real, shuffled, core),
        "redshift_slope": slope,
        "redshift_slope_shuffled": regressor.slope_and_bias(shuffled)[0],
        "redshift_bias": bias,
    }


def redshift_bins(redshift: np.ndarray) -> np.ndarray:
    """Return the edges of bins with equal numbers of redshifts, (BINS + 1,)."""
    return np.nanquantile(redshift, np.linspace(0, 1, BINS + 1))


class RedshiftRegressor:
    """Redshift from statistics, by gradient-boosted trees.

    Args:
        training: galaxies of the survey that are not compared.
        names: of the statistics; those that no galaxy has are left out.
        seed: of the trees.
    """

    def __init__(self, training: Sample, names: Sequence[str], seed: int = 0):
        self.names = [
            name for name in names if np.isfinite(training.columns.get(name, np.nan)).any()
        ]
        known = np.isfinite(training.redshift)
        self.trees = HistGradientBoostingRegressor(random_state=seed)
        self.trees.fit(training.table(self.names)[known], training.redshift[known])

    def slope_and_bias(self, sample: Sample) -> tuple[float, float]:
        """Return slope and mean offset of predicted redshifts against the sample's own."""
        known = np.isfinite(sample.redshift)
        given = sample.redshift[known]
        predicted = self.trees.predict(sample.table(self.names)[known])
        if len(given) < FEWEST or given.std() == 0:
            return np.nan, np.nan
        slope = np.polyfit(given, predicted, 1)[0]
        return float(slope), float((predicted - given).mean())


def _distance_by_redshift(real: Sample, generated: Sample, core: Sequence[str]) -> float:
    edges, found = redshift_bins(real.redshift), []
    for name in core:
        for low, high in itertools.pairwise(edges):
            values = []
            for sample in (real, generated):
                inside = (sample.redshift >= low) & (sample.redshift <= high)
                column = sample.columns[name][inside]
                values.append(column[np.isfinite(column)])
            if min(map(len, values)) >= FEWEST and values[0].std() > 0:
                found.append(metrics.wasserstein_distance(*values) / values[0].std())
    return float(np.mean(found)) if found else np.nan


def _kernel_distance(real: np.ndarray, generated: np.ndarray) -> float:
    return metrics.kernel_distance(real[:LARGEST_KERNEL], generated[:LARGEST_KERNEL])
