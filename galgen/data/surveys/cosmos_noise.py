"""The correlated noise of the COSMOS mosaics, as GalSim ships it (Leauthaud et al. 2007 images)."""

from functools import cache
from pathlib import Path

import galsim
import numpy as np

from galgen.data.noise_correlation import REACH, kept

PIXEL_SCALE = 0.03
"""arcsec"""
ZERO_POINT = 25.94
"""AB magnitude of one count a second in F814W."""


def cosmos_noise(rng: galsim.BaseDeviate, variance: float) -> galsim.BaseCorrelatedNoise:
    """Return the noise with a generator of its own.

    Args:
        rng: generator.
        variance: of a pixel, (counts/s)^2.
    """
    return _noise().copy(rng=rng).withVariance(variance)


def noise_image(size: int, rng: galsim.BaseDeviate, variance: float | None = None) -> np.ndarray:
    """Draw noise, (size, size) float32.

    Args:
        size: side, px.
        rng: generator; it moves on.
        variance: of a pixel, (counts/s)^2; that of the mosaics where None.
    """
    noise, image = _noise(), galsim.ImageF(size, size, scale=PIXEL_SCALE)
    noise.rng.reset(rng)  # a noise of its own would tabulate its power spectrum anew
    image.addNoise(noise)
    if variance is not None:
        image *= np.sqrt(variance / cosmos_variance())
    return image.array


def cosmos_variance() -> float:
    """Return the variance of a pixel of the mosaics, (counts/s)^2."""
    return _noise().getVariance()


@cache
def noise_correlation() -> np.ndarray:
    """Return the correlation of the noise by offset, (h, w), 1 in the middle."""
    side = 2 * REACH + 1
    return kept(_noise().drawImage(galsim.Image(side, side, scale=PIXEL_SCALE)).array)


@cache
def level_of_unit_variance() -> float:
    """Return the peak transform's background for noise of variance 1.

    It is the square root of the noise power spectrum at frequency zero (Adam et al. 2022).
    """
    correlation = _noise().drawImage(galsim.Image(64, 64, scale=PIXEL_SCALE))
    return float(np.sqrt(correlation.array.sum() / cosmos_variance()))


@cache
def correlation_image() -> galsim.Image:
    """Return the image of the correlation function."""
    path = Path(galsim.meta_data.share_dir) / "acs_I_unrot_sci_20_cf.fits"
    return galsim.Image(galsim.fits.read(str(path)).array, scale=PIXEL_SCALE)


@cache
def _noise() -> galsim.BaseCorrelatedNoise:
    return galsim.getCOSMOSNoise()
