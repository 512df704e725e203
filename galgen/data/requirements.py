"""The galaxies of a survey that have the columns a model needs."""

from collections.abc import Callable

import numpy as np

from galgen.data.batch import Batch
from galgen.data.stamp_file import LARGEST_REDSHIFT, StampFile, known_redshifts
from galgen.errors import GalgenError


def with_redshift(stamps: StampFile) -> np.ndarray:
    """Tell which galaxies have a redshift, (N,); galgen's own layout marks the others by NaN.

    Raises:
        GalgenError: if the file has none, or some are a catalogue's mark of failure.
    """
    redshift = stamps.columns.get("redshift")
    if redshift is None:
        raise GalgenError(
            f"{stamps.path} has no redshifts, which a conditional model needs. Choose model=vae, "
            "or a file with a 1-D data set of redshifts."
        )
    known = np.isfinite(known_redshifts(redshift))
    marked = np.isnan(redshift) & (not stamps.peak_normalised)
    if not (known | marked).all() or not known.any():
        raise GalgenError(
            f"{stamps.path}: {(~known).sum()} of {len(redshift)} redshifts are NaN or outside 0 "
            f"to {LARGEST_REDSHIFT}, the first in row {np.flatnonzero(~known)[0]} (counted "
            "from 0). Remove these galaxies, or choose model=vae."
        )
    return known


def check_noise(
    stamps: StampFile, rows: np.ndarray, transform: Callable[[Batch], Batch], finished: Batch
) -> None:
    """Check that the noise of galaxies is known, after the transform too.

    Args:
        stamps: the stamp file.
        rows: the galaxies' rows in it, (n,).
        transform: brings a batch to the model's scale.
        finished: a batch that the transform has made.

    Raises:
        GalgenError: if the survey has no noise variances, the transform loses them, or some
            are not positive.
    """
    if finished.noise_variance is None:
        raise GalgenError(
            f"the likelihood needs the noise variance of every stamp, and {stamps.path} "
            f"has none after the transform '{type(transform).__name__.lower()}'. Choose "
            "a survey with noise_variance, and transform=none or peak."
        )
    variance = stamps.columns["noise_variance"][rows]
    known = np.isfinite(variance) & (variance > 0)
    bad = np.sort(rows[~(known | ~stamps.has_band[rows]).all(axis=1)])
    if len(bad):
        raise GalgenError(
            f"{stamps.path}: {len(bad)} of {len(rows)} noise variances are not positive "
            f"numbers, the first in row {bad[0]} (counted from 0), and the likelihood "
            "needs them all. Remove these galaxies, or choose another likelihood."
        )


def check_correlation(stamps: StampFile) -> None:
    """Check that the correlation of a survey's noise is known.

    Raises:
        GalgenError: if it is not.
    """
    if stamps.noise_correlation is None:
        raise GalgenError(
            f"likelihood=correlated_noise: {stamps.path} does not say how its noise is correlated. "
            "Use likelihood=noise_aware, or prepare the survey again."
        )
