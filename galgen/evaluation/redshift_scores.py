"""How good posteriors of redshifts are, beside a regression and beside no look at the stamps."""

import numpy as np

from galgen.evaluation.band_statistics import measure_bands
from galgen.evaluation.observation import Observation
from galgen.evaluation.redshifts import RedshiftRegressor
from galgen.evaluation.sample import Sample, measured
from galgen.runs.trained_run import TrainedRun

OUTLIER = 0.15
"""Error over 1 + z beyond which a redshift is an outlier (Ilbert et al. 2006)."""
LEARNED = 4000
"""Training galaxies that the regression learns from, at most."""


def scores(true: np.ndarray, best: np.ndarray) -> dict[str, float]:
    """Return how far redshifts are from the true ones.

    Source: Ilbert et al. 2006; Salvato, Ilbert & Hoyle 2019.

    Args:
        true: (N,).
        best: one estimate for each galaxy, (N,).

    Returns:
        Of the error over 1 + z: `bias`, its median; `sigma_nmad`, 1.4826 times the median
        distance from that; `outliers`, the share beyond OUTLIER.
    """
    error = (best - true) / (1 + true)
    middle = np.median(error)
    return {
        "bias": float(middle),
        "sigma_nmad": float(1.4826 * np.median(np.abs(error - middle))),
        "outliers": float(np.mean(np.abs(error) > OUTLIER)),
    }


def calibration(pit: np.ndarray) -> dict[str, float]:
    """Return whether posteriors are as wide as they should be.

    Args:
        pit: the cumulative posterior of each galaxy at its true value, (N,).

    Returns:
        `coverage_68` and `coverage_95`, shares of the true values inside the central intervals;
        `ks` and `ks_p`, the Kolmogorov-Smirnov distance of the PIT from uniform, and its p-value.
    """
    from scipy.stats import kstest

    test = kstest(pit, "uniform")
    return {
        "coverage_68": float(np.mean(np.abs(pit - 0.5) < 0.34)),
        "coverage_95": float(np.mean(np.abs(pit - 0.5) < 0.475)),
        "ks": float(test.statistic),
        "ks_p": float(test.pvalue),
    }


def regressed(run: TrainedRun, positions: np.ndarray) -> np.ndarray:
    """Return redshifts of test galaxies by boosted trees on measured statistics, (n,).

    Args:
        run: the trained run, whose survey has redshifts.
        positions: of the galaxies in the test part, (n,).
    """
    observation = Observation(run)
    train = np.arange(min(LEARNED, len(run.survey.parts["train"])))
    learned = _measured(run, observation, "train", train)
    names = [name for name in learned.columns if name != "flag"]
    trees = RedshiftRegressor(learned, names)
    table = _measured(run, observation, "test", positions).table(trees.names)
    return trees.trees.predict(table)


def _measured(
    run: TrainedRun, observation: Observation, part: str, positions: np.ndarray
) -> Sample:
    """Measure galaxies of a part in all bands."""
    images, variance = observation.real(part, positions), observation.variance(part, positions)
    band, scale = run.reference, run.pixel_scale or 1.0
    of_band = None if variance is None else variance[:, band]
    stamps, rows = run.survey.stamps, run.survey.parts[part].rows[positions]
    redshift = stamps.columns["redshift"][rows].astype(float)
    sample = measured(part, images[:, band], scale, run.zero_points[band], of_band, redshift)
    if observation.bands:
        sample.columns |= measure_bands(
            images,
            observation.bands,
            observation.has_band(part, positions),
            sample.columns,
            scale,
            run.zero_points,
            variance,
        )
    return sample
