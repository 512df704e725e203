"""Points of light to images: on a grid, through the PSF."""

from functools import cache

import numpy as np
from scipy import fft

from galgen.data.surveys.simulated.telescopes import PSF_SIZE, psf_images

OVERSAMPLING = 2
"""Cells along a pixel's side, in which points are collected."""
MARGIN = 16
"""Pixels around a stamp whose light the PSF may bring in."""


def collect(positions: np.ndarray, flux: np.ndarray, size: int, cells: int) -> np.ndarray:
    """Collect points in the cells of a stamp; each is shared by its four nearest ones.

    Args:
        positions: (2, n), x and y relative to the centre, px.
        flux: (B, n).
        size: side of the stamp, px.
        cells: along a pixel's side.

    Returns:
        (B, size * cells, size * cells): light in each cell.
    """
    side = size * cells
    places = positions * cells + (side - 1) / 2
    corner = np.floor(places).astype(np.int64)
    part = places - corner
    inside = ((corner >= 0) & (corner < side - 1)).all(axis=0)
    (x, y), (across, up), flux = corner[:, inside], part[:, inside], flux[:, inside]
    nearest = (y * side + x) + np.array([[0], [1], [side], [side + 1]])
    shares = np.stack([1 - across, across, 1 - across, across])
    shares *= np.stack([1 - up, 1 - up, up, up])
    images = [
        np.bincount(nearest.ravel(), (shares * light).ravel(), minlength=side**2) for light in flux
    ]
    return np.reshape(images, (-1, side, side))


def through_psf(
    positions: np.ndarray, flux: np.ndarray, size: int, bands: tuple[str, ...], psf: int
) -> np.ndarray:
    """Draw points through a PSF, which contains the pixel.

    Args:
        positions: (2, n), relative to the centre, px.
        flux: (B, n).
        size: side of the stamp, px.
        bands: names of the bands.
        psf: its number.

    Returns:
        (B, size, size) float32.
    """
    wide = fft.next_fast_len(size + 2 * MARGIN, real=True)
    wide += (wide - size) % 2  # the stamp lies in the middle
    light = fft.rfft2(collect(positions, flux, wide, OVERSAMPLING))
    low = wide // 2
    rows = np.r_[0 : wide - low, light.shape[1] - low : light.shape[1]]
    spectrum = light[:, rows, : low + 1]
    images = np.empty((len(flux), size, size), np.float32)
    edge = (wide - size) // 2
    for number, band in enumerate(bands):
        seen = fft.irfft2(spectrum[number] * _transfer(band, wide)[psf], s=(wide, wide))
        images[number] = seen[edge : edge + size, edge : edge + size]
    return images


@cache
def _transfer(band: str, wide: int) -> np.ndarray:
    """Return what the PSFs do to the frequencies of an image of cells, (PSFs, wide, wide // 2 + 1).

    The width of the four cells that share a point is taken out, and so is the shift of the cells'
    centres relative to those of the pixels.
    """
    padded = np.zeros((len(psf_images(band)), wide, wide))
    least = min(wide, PSF_SIZE)
    crop = (PSF_SIZE - least) // 2
    padded[:, :least, :least] = psf_images(band)[:, crop : crop + least, crop : crop + least]
    padded = np.roll(padded, (-(least // 2), -(least // 2)), axis=(1, 2))
    y, x = np.fft.fftfreq(wide)[:, None], np.fft.rfftfreq(wide)[None]
    shared = (np.sinc(x / OVERSAMPLING) * np.sinc(y / OVERSAMPLING)) ** 2
    offset = (OVERSAMPLING - 1) / (2 * OVERSAMPLING)
    shift = np.exp(2j * np.pi * offset * (x + y))
    return fft.rfft2(padded) / shared * shift
