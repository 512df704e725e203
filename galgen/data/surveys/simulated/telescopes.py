"""The bands of the simulated survey: throughput, PSF, zero point and noise of each.

Depths are chosen, not those of one data set: HST's are of the order of a few orbits a field, LSST's
are those of the full ten years.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import galsim
import numpy as np

from galgen.data.noise_correlation import without_correlation
from galgen.data.surveys.cosmos_noise import (
    PIXEL_SCALE,
    ZERO_POINT,
    cosmos_variance,
    level_of_unit_variance,
    noise_image,
)
from galgen.data.surveys.cosmos_noise import noise_correlation as cosmos_correlation
from galgen.data.surveys.photometry import NANOJANSKY

PSFS = 8
"""PSFs that a survey has; each galaxy has one of them, in all bands."""
PSF_SIZE = 63
"""Side of the PSF images, px."""
HST_SIGMAS = np.linspace(0.033, 0.036, PSFS)
"""Width of the Gaussian part of HST's PSFs, arcsec."""
LSST_SEEING = np.linspace(0.93, 1.07, PSFS)
"""LSST's seeing, relative to the median."""


@dataclass(frozen=True)
class Band:
    """A filter of a telescope."""

    name: str
    throughput: str
    """Its file among those that GalSim ships."""
    zero_point: float
    """AB magnitude of one unit."""
    depth: float
    """HST: how much fainter than F814W's the noise is, mag; LSST: 5-sigma depth for stars, AB."""
    blur: float
    """HST: side of the detector's pixel; LSST: median FWHM of the seeing; arcsec."""

    @property
    def bandpass(self) -> galsim.Bandpass:
        """Its throughput, by wavelength in nm."""
        folder = Path(galsim.meta_data.share_dir) / "bandpasses"
        return galsim.Bandpass(str(folder / self.throughput), "nm")


@dataclass(frozen=True)
class Telescope:
    """A telescope with its bands, all on one pixel grid."""

    name: str
    pixel_scale: float
    """arcsec"""
    unit: str
    reference: str
    """Band in which shapes are measured, where it is among a survey's bands."""
    bands: tuple[Band, ...]


HST = Telescope(
    name="hst",
    pixel_scale=PIXEL_SCALE,
    unit="counts/s",
    reference="F814W",
    # AB zero points: ACS and WFC3 data handbooks; detector pixels of 0.05" (ACS) and 0.128" (WFC3).
    bands=(
        Band("F435W", "ACS_wfc_F435W.dat", 25.67, 0.2, 0.05),
        Band("F606W", "ACS_wfc_F606W.dat", 26.50, 0.5, 0.05),
        Band("F775W", "ACS_wfc_F775W.dat", 25.67, 0.0, 0.05),
        Band("F814W", "ACS_wfc_F814W.dat", ZERO_POINT, 0.0, 0.05),
        Band("F850LP", "ACS_wfc_F850LP.dat", 24.87, -0.6, 0.05),
        Band("F105W", "WFC3_ir_F105W.dat", 26.27, 0.5, 0.128),
        Band("F125W", "WFC3_ir_F125W.dat", 26.23, 0.4, 0.128),
        Band("F160W", "WFC3_ir_F160W.dat", 25.95, 0.3, 0.128),
    ),
)
LSST = Telescope(
    name="lsst",
    pixel_scale=0.2,
    unit="nJy",
    reference="i",
    # Ten-year depths of point sources and effective seeing: Ivezic et al. 2019, tables 1 and 2.
    bands=(
        Band("u", "LSST_u.dat", NANOJANSKY, 26.1, 0.92),
        Band("g", "LSST_g.dat", NANOJANSKY, 27.4, 0.87),
        Band("r", "LSST_r.dat", NANOJANSKY, 27.5, 0.83),
        Band("i", "LSST_i.dat", NANOJANSKY, 26.8, 0.80),
        Band("z", "LSST_z.dat", NANOJANSKY, 26.1, 0.78),
        Band("y", "LSST_y.dat", NANOJANSKY, 24.9, 0.76),
    ),
)
TELESCOPES = (HST, LSST)
SELECTION = "F814W"
"""Band in which the survey is limited and galaxies have their nominal magnitude."""


def telescope_of(names: Sequence[str]) -> Telescope:
    """Return the telescope that has some bands.

    Raises:
        ValueError: if none has all of them, or one is named twice.
    """
    known = {band.name: each for each in TELESCOPES for band in each.bands}
    given = f"data.bands=[{','.join(names)}]"
    for name in names:
        if name not in known:
            raise ValueError(
                f"{given}: no band {name} can be simulated. Give hst, lsst, or some of "
                f"[{','.join(band.name for band in HST.bands)}] or of "
                f"[{','.join(band.name for band in LSST.bands)}]."
            )
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{given}: give each band once, and at least one.")
    if len({known[name].name for name in names}) > 1:
        raise ValueError(f"{given}: HST's and LSST's pixels differ. Give bands of one telescope.")
    return known[names[0]]


def bands_of(names: Sequence[str]) -> list[Band]:
    """Return bands by name."""
    known = {band.name: band for each in TELESCOPES for band in each.bands}
    return [known[name] for name in names]


@cache
def psf_images(name: str) -> np.ndarray:
    """Draw a band's PSFs.

    HST: an Airy disc, the detector's pixel and a Gaussian; LSST: Kolmogorov turbulence and a pixel.

    Returns:
        (PSFS, PSF_SIZE, PSF_SIZE) float64, each of sum 1.
    """
    [band] = bands_of([name])
    telescope = telescope_of([name])
    wavelength = band.bandpass.effective_wavelength  # nm
    images = []
    for number in range(PSFS):
        if telescope is HST:
            optics = galsim.Airy(lam=wavelength, diam=2.4, obscuration=0.33)
            rest = galsim.Gaussian(sigma=HST_SIGMAS[number])
            psf = galsim.Convolve(optics, galsim.Pixel(band.blur), rest)
        else:
            seeing = galsim.Kolmogorov(fwhm=band.blur * LSST_SEEING[number])
            psf = galsim.Convolve(seeing, galsim.Pixel(telescope.pixel_scale))
        image = psf.drawImage(
            nx=PSF_SIZE, ny=PSF_SIZE, scale=telescope.pixel_scale, method="no_pixel", dtype=float
        )
        images.append(image.array / image.array.sum())
    return np.stack(images)


@cache
def noise_variance(name: str) -> float:
    """Return the variance of the noise of a pixel, unit^2."""
    [band], telescope = bands_of([name]), telescope_of([name])
    if telescope is HST:
        brighter = 10 ** (0.4 * (band.zero_point - ZERO_POINT - band.depth))
        return cosmos_variance() * brighter**2
    # A star's flux is measured over 2.266 (FWHM / px)^2 pixels (Ivezic et al. 2019, section 3).
    pixels = 2.266 * (band.blur / telescope.pixel_scale) ** 2
    faintest = 10 ** (0.4 * (band.zero_point - band.depth))
    return (faintest / 5) ** 2 / pixels


def noise_level(name: str) -> float:
    """Return the square root of the noise's power at frequency zero, unit."""
    level = level_of_unit_variance() if telescope_of([name]) is HST else 1.0
    return level * np.sqrt(noise_variance(name))


def noise_correlation(names: Sequence[str]) -> np.ndarray:
    """Return the correlation of the bands' noise by offset, (B, h, w)."""
    if telescope_of(names) is HST:
        return np.tile(cosmos_correlation(), (len(names), 1, 1))
    return without_correlation(len(names))


def draw_noise(names: Sequence[str], size: int, rng: galsim.BaseDeviate) -> np.ndarray:
    """Draw noise: correlated as in HST's mosaics, or white in LSST's.

    Args:
        names: of the bands.
        size: side of the images, px.
        rng: generator; it moves on.

    Returns:
        (B, size, size) float32, in the bands' unit.
    """
    images = []
    for name in names:
        if telescope_of([name]) is HST:
            images.append(noise_image(size, rng, noise_variance(name)))
        else:
            white = galsim.ImageF(size, size)
            white.addNoise(galsim.GaussianNoise(rng, sigma=np.sqrt(noise_variance(name))))
            images.append(white.array)
    return np.stack(images)
