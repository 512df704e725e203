"""How well generated galaxies follow the requested redshifts."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from galgen.evaluation.two_samples import FEWEST

if TYPE_CHECKING:
    from galgen.evaluation.sample import Sample

BINS = 4
"""Of redshift."""


class RedshiftRegressor:
    """Redshift from statistics, by gradient-boosted trees.

    Args:
        training: galaxies of the survey that are not compared.
        names: of the statistics; those that no galaxy has are left out.
        seed: of the trees.
    """

    def __init__(self, training: "Sample", names: Sequence[str], seed: int = 0):
        from sklearn.ensemble import HistGradientBoostingRegressor

        self.names = [
            name for name in names if np.isfinite(training.columns.get(name, np.nan)).any()
        ]
        known = np.isfinite(training.redshift)
        self.trees = HistGradientBoostingRegressor(random_state=seed)
        self.trees.fit(training.table(self.names)[known], training.redshift[known])

    def slope_and_bias(self, sample: "Sample") -> tuple[float, float]:
        """Return slope and mean offset of predicted redshifts against the sample's own."""
        known = np.isfinite(sample.redshift)
        given = sample.redshift[known]
        predicted = self.trees.predict(sample.table(self.names)[known])
        if len(given) < FEWEST or given.std() == 0:
            return np.nan, np.nan
        slope = np.polyfit(given, predicted, 1)[0]
        return float(slope), float((predicted - given).mean())


def redshift_bins(redshift: np.ndarray) -> np.ndarray:
    """Return the edges of bins with equal numbers of redshifts, (BINS + 1,)."""
    return np.nanquantile(redshift, np.linspace(0, 1, BINS + 1))


def distances_by_redshift(real: "Sample", generated: "Sample", names: Sequence[str]) -> np.ndarray:
    """Return the Wasserstein distance of each statistic in each bin of redshift.

    Args:
        real: the survey's galaxies.
        generated: those that are compared with them.
        names: of the statistics.

    Returns:
        Distances over the real scatter in a bin, (len(names), BINS); NaN where there are too few.
    """
    from scipy.stats import wasserstein_distance

    edges = redshift_bins(real.redshift)
    found = np.full((len(names), BINS), np.nan)
    for row, name in enumerate(names):
        for column, (low, high) in enumerate(itertools.pairwise(edges)):
            values = []
            for sample in (real, generated):
                inside = (sample.redshift >= low) & (sample.redshift <= high)
                statistic = sample.columns[name][inside]
                values.append(statistic[np.isfinite(statistic)])
            if min(map(len, values)) >= FEWEST and values[0].std() > 0:
                found[row, column] = wasserstein_distance(*values) / values[0].std()
    return found


def distance_by_redshift(real: "Sample", generated: "Sample", names: Sequence[str]) -> float:
    """Return the mean of `distances_by_redshift`; NaN where all bins have too few galaxies."""
    found = distances_by_redshift(real, generated, names)
    found = found[np.isfinite(found)]
    return float(np.mean(found)) if len(found) else np.nan
