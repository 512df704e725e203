"""Who the simulated galaxies are: magnitude, redshift, type, size and shape.

The numbers were tuned until sizes and shapes came near those of real COSMOS galaxies:
experiments/simulated_survey compares them.
"""

from functools import cache

import astropy.units as u
import numpy as np
from astropy.cosmology import Planck18

FAINTEST, BRIGHTEST = 25.2, 18.0
LATE_RADIUS = 5.3
"""Half-light radius of late types of absolute magnitude -21 at redshift 0, kpc."""
LEAST_BULGE = 0.02
"""Fraction of the flux below which a late type has no bulge."""
LEAST_AXIS_RATIO = 0.15
FAINTEST_SIGNAL = 15.0
"""Signal-to-noise ratio below which a galaxy would not be in COSMOS's catalogue."""
FAINTEST_SURFACE = 24.4
"""Mean surface brightness within the half-light radius, likewise, mag/arcsec^2."""


def draw_parameters(rng: np.random.Generator) -> dict[str, float]:
    """Draw the physical parameters of a galaxy that COSMOS would detect.

    Returns:
        `redshift`; `magnitude` (AB, in F814W); `early_type` (0 or 1); `flux_radius` (circularised
        half-light radius before the bulge, arcsec); `sersic_index`; `axis_ratio`;
        `position_angle` (degrees, from the x axis); `bulge_fraction`; `spectral_type` (0 to 3:
        E, Sbc, Scd, Im), of the disc or of all of an early type.
    """
    while True:
        galaxy = _draw(rng)
        surface = galaxy["magnitude"] + 2.5 * np.log10(2 * np.pi * galaxy["flux_radius"] ** 2)
        if _signal_to_noise(galaxy) > FAINTEST_SIGNAL and surface < FAINTEST_SURFACE:
            return galaxy


def _signal_to_noise(galaxy: dict[str, float]) -> float:
    """Estimate a galaxy's ratio in a matched filter, for a Gaussian profile in COSMOS's noise.

    It is 16 for a width of 0.19" and a magnitude of 25.2, and inversely proportional to the width.
    """
    width = np.hypot(galaxy["flux_radius"] / 1.1774, 0.05)  # with the PSF's
    return 16 * 10 ** (0.4 * (25.2 - galaxy["magnitude"])) * 0.19 / width


def _draw(rng: np.random.Generator) -> dict[str, float]:
    """Draw a galaxy from the sky."""
    magnitude = _magnitude(rng.random())
    z0 = (0.66 + 0.16 * (magnitude - 22.25)) / 1.412
    # z^2 exp(-(z/z0)^1.5) is a gamma distribution of (z/z0)^1.5 with shape 3 / 1.5.
    redshift = float(np.clip(z0 * rng.gamma(2.0) ** (1 / 1.5), 0.02, 6.0))
    absolute = magnitude - distance_modulus(redshift) + 2.5 * np.log10(1 + redshift)
    early_share = 0.05 + 0.25 / (1 + np.exp((magnitude - 23.5) / 0.8)) * np.exp(
        -0.5 * max(redshift - 0.8, 0)
    )
    early = bool(rng.random() < early_share)
    if early:
        log_kpc = (
            np.log10(0.8 * LATE_RADIUS) - 0.24 * (absolute + 21) - 1.48 * np.log10(1 + redshift)
        )
        log_kpc += rng.normal(0, 0.16)
        sersic, axis_ratio = rng.lognormal(np.log(3.2), 0.35), rng.normal(0.71, 0.14)
    else:
        log_kpc = np.log10(LATE_RADIUS) - 0.13 * (absolute + 21) - 0.75 * np.log10(1 + redshift)
        log_kpc += rng.normal(0, 0.2)
        sersic, axis_ratio = rng.lognormal(np.log(1.05), 0.45), rng.beta(3.2, 4.15)
    bulge = 0.0 if early else float(rng.beta(0.5, 6.0))
    radius = float(np.clip(10**log_kpc / kpc_per_arcsec(redshift), 0.04, 1.2))
    return {
        "redshift": redshift,
        "magnitude": magnitude,
        "early_type": int(early),
        "flux_radius": radius,
        "sersic_index": round(float(np.clip(sersic, 0.4, 5.5)) / 0.05) * 0.05,
        "axis_ratio": float(np.clip(axis_ratio, LEAST_AXIS_RATIO, 1.0)),
        "position_angle": rng.uniform(0, 180),
        "bulge_fraction": bulge if bulge > LEAST_BULGE else 0.0,
        "spectral_type": _spectral_type(rng, early, absolute, redshift),
    }


def _spectral_type(
    rng: np.random.Generator, early: bool, absolute: float, redshift: float
) -> float:
    """Draw a spectral type: luminous and near galaxies are redder, early types hardly vary."""
    if early:  # their stars are younger at high redshift
        return float(np.clip(rng.normal(0.1 + 0.2 * redshift, 0.12), 0, 1.2))
    return float(np.clip(rng.normal(1.9 + 0.2 * (absolute + 20.5) + 0.25 * redshift, 0.4), 0.7, 3))


def _magnitude(quantile: float) -> float:
    """Invert the cumulative distribution of a 10^(0.32 m) law between the limits."""
    faint, bright = 10 ** (0.32 * FAINTEST), 10 ** (0.32 * BRIGHTEST)
    return float(np.log10(bright + quantile * (faint - bright)) / 0.32)


def distance_modulus(redshift: float) -> float:
    """Return the distance modulus in the cosmology of Planck 2018."""
    grid, modulus, _ = _cosmology()
    return float(np.interp(redshift, grid, modulus))


def kpc_per_arcsec(redshift: float) -> float:
    """Return the proper length that spans an arcsec in the cosmology of Planck 2018."""
    grid, _, kpc = _cosmology()
    return float(np.interp(redshift, grid, kpc))


@cache
def _cosmology() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tabulate distance modulus and kpc/arcsec against redshift."""
    grid = np.geomspace(0.01, 6.5, 400)
    kpc = Planck18.kpc_proper_per_arcmin(grid).to(u.kpc / u.arcsec)
    return grid, Planck18.distmod(grid).value, kpc.value
