"""The correlation of a survey's noise between the pixels of a stamp."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from galgen.data.bands import Bands
from galgen.errors import GalgenError

if TYPE_CHECKING:
    from galgen.data.stamp_file import StampFile

ATTRIBUTE = "noise_correlation"
"""Of a stamp file: (B, h, w), the correlation by offset, 1 in the middle."""
REACH = 6
"""Largest offset that is kept, px."""
GRID = 32
"""Frequencies, beside twice the table's, at which its power spectrum is looked at."""
MOST_NEGATIVE = 0.001
"""Share of the power that may be negative: a table that ends early has a little."""


def read_noise_correlation(path: Path, attrs: dict, bands: Bands) -> np.ndarray | None:
    """Take the noise correlation of the chosen bands out of a stamp file's attributes.

    Args:
        path: of the file, for messages.
        attrs: its attributes.
        bands: the bands that are read.

    Returns:
        (B, h, w), float32; None where the file has none.

    Raises:
        GalgenError: if it is not the correlation of these bands.
    """
    values = attrs.pop(ATTRIBUTE, None)
    if values is None:
        return None
    found = np.asarray(values, np.float32)
    if found.ndim != 3 or len(found) != bands.of_file or not all(n % 2 for n in found.shape[1:]):
        raise GalgenError(
            f"{path}: its attribute '{ATTRIBUTE}' has the shape {found.shape}. Write it as "
            f"({bands.of_file}, h, w), one image a band, h and w odd."
        )
    middle = found[:, found.shape[1] // 2, found.shape[2] // 2]
    if not (np.allclose(middle, 1, atol=1e-3) and np.abs(found).max() < 1.001):
        raise GalgenError(
            f"{path}: its attribute '{ATTRIBUTE}' is no correlation. Write 1 in the middle of each "
            "image, and -1 to 1 elsewhere."
        )
    power = _power(found, (2 * found.shape[1] + GRID, 2 * found.shape[2] + GRID))
    if (np.minimum(power, 0).sum(axis=(1, 2)) < -MOST_NEGATIVE * power.sum(axis=(1, 2))).any():
        raise GalgenError(
            f"{path}: no noise has its '{ATTRIBUTE}', whose power spectrum is negative in places. "
            "Measure it again, or write smaller correlations."
        )
    return found if bands.chosen is None else found[bands.chosen]


def without_correlation(bands: int) -> np.ndarray:
    """Return the correlation of white noise, (B, 1, 1)."""
    return np.ones((bands, 1, 1), np.float32)


def correlation_of_filter(kernel: np.ndarray) -> np.ndarray:
    """Return the correlation of white noise that was convolved with a kernel (h, w)."""
    from scipy.signal import correlate  # which takes half a second to import, for mosaics alone

    return kept(correlate(kernel, kernel))


def kept(covariance: np.ndarray) -> np.ndarray:
    """Return the middle of a covariance by offset (h, w), h and w odd, in units of the variance."""
    half = [min(side // 2, REACH) for side in covariance.shape]
    y, x = (side // 2 for side in covariance.shape)
    window = np.s_[y - half[0] : y + half[0] + 1, x - half[1] : x + half[1] + 1]
    return (covariance[window] / covariance[y, x]).astype(np.float32)


def symmetric(correlation: np.ndarray) -> np.ndarray:
    """Return the mean correlation (B, h, h) of stamps that are flipped and turned at random."""
    turned = [np.rot90(correlation, turns, axes=(1, 2)) for turns in range(4)]
    return np.mean([*turned, *(image[:, :, ::-1] for image in turned)], axis=0)


def draw_correlated(
    correlation: np.ndarray, images: int, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw noise of variance 1.

    Args:
        correlation: of the bands, (B, h, w).
        images: number of images in each band, N.
        size: side of the images, px.
        rng: generator; it moves on.

    Returns:
        (N, B, size, size), float32.
    """
    bands, height, width = correlation.shape
    # On a torus larger than the stamp by the reach of the correlation, whose edges are far apart.
    shape = [fft.next_fast_len(size + side, real=True) for side in (height, width)]
    power = _power(correlation, shape).clip(0)
    power *= 1 / (fft.irfft2(power, shape)[:, :1, :1])  # where clipping changed the variance
    white = rng.standard_normal((images, bands, *shape), np.float32)
    drawn = fft.irfft2(fft.rfft2(white) * np.sqrt(power), shape)
    return np.ascontiguousarray(drawn[..., :size, :size], np.float32)


def _power(correlation: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the power spectrum of a correlation (B, h, w) on a torus, (B, H, W // 2 + 1)."""
    bands, height, width = correlation.shape
    torus = np.zeros((bands, *shape), np.float32)
    torus[:, :height, :width] = correlation
    return fft.rfft2(np.roll(torus, (-(height // 2), -(width // 2)), (1, 2))).real


def draw_survey_noise(
    stamps: "StampFile", images: int, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw noise of variance 1 with a survey's correlation; white noise if that is unknown.

    Args:
        stamps: the survey's stamp file.
        images: number of images in each band, N.
        size: side of the images, px.
        rng: generator; it moves on.

    Returns:
        (N, B, size, size), float32.
    """
    correlation = stamps.noise_correlation
    if correlation is None:
        correlation = without_correlation(len(stamps.bands))
    return draw_correlated(correlation, images, size, rng)
