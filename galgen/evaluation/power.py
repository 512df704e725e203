"""Power spectra of images."""

import numpy as np
from scipy import fft

BLOCK = 64
"""Stamps that are transformed at once."""


def power_spectrum(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average the power of images over rings of wavenumber.

    Args:
        images: (N, H, W).

    Returns:
        Mean wavenumber of each ring, (bins,), cycles per px, up to 0.5; and the power, (N, bins),
        normalised such that white noise has its variance at every wavenumber. The rings are as wide
        as the longer side's lowest wavenumber; the mean of the image belongs to none.
    """
    n, height, width = images.shape
    wavenumber = np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width)).ravel()
    # Half of the plane is enough, as the other half mirrors it.
    mirrored = np.ones((height, width // 2 + 1))
    mirrored[:, 1 : (width + 1) // 2] = 2
    ring = np.rint(wavenumber * max(height, width)).astype(int)
    kept = (ring > 0) & (wavenumber <= 0.5)
    order = np.flatnonzero(kept)[np.argsort(ring[kept], kind="stable")]
    starts = np.flatnonzero(np.diff(ring[order], prepend=0))
    share = mirrored.ravel()[order]
    share /= np.repeat(np.add.reduceat(share, starts), np.diff(starts, append=len(order)))
    power = np.empty((n, len(starts)))
    for first in range(0, n, BLOCK):
        block = np.asarray(images[first : first + BLOCK], float)
        waves = fft.rfft2(block).reshape(len(block), -1)[:, order]
        energy = (waves.real**2 + waves.imag**2) * (share / (height * width))
        power[first : first + BLOCK] = np.add.reduceat(energy, starts, axis=1)
    return np.add.reduceat(wavenumber[order] * share, starts), power
