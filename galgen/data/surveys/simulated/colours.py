"""Colours of simulated galaxies: spectra that depend on the type, seen at a redshift in bands."""

from collections.abc import Sequence
from functools import cache

import galsim
import numpy as np

from galgen.data.surveys.simulated.telescopes import SELECTION, bands_of

SPECTRA = ("E", "Sbc", "Scd", "Im")
"""Templates of Coleman, Wu & Weedman 1980, extended by Bolzonella et al. 2000, from red to blue; a
spectral type of 0 to 3 lies on or between them."""
REDSHIFTS = np.linspace(0, 6.5, 326)
LYMAN = ((1216, 3.6e-3), (1026, 1.7e-3), (973, 1.2e-3), (950, 9.3e-4))
"""Lines of the intergalactic hydrogen, Angstrom, and their opacities (Madau 1995, equation 15)."""
LYMAN_LIMIT = 912
"""Angstrom"""
ANGSTROMS = np.arange(2500, 20000, 5.0)
"""Observed wavelengths that spectra are integrated over."""


def flux_ratios(spectral_type: float, redshift: float, bands: Sequence[str]) -> np.ndarray:
    """Return a spectrum's flux densities relative to that in the band of the selection.

    Args:
        spectral_type: 0 (E) to 3 (Im).
        redshift: of the galaxy.
        bands: their names.

    Returns:
        (B,) ratios of AB flux densities.
    """
    table = _log_ratios(tuple(bands))
    low = min(int(spectral_type), len(SPECTRA) - 2)
    place = redshift / REDSHIFTS[1]
    row = min(int(place), len(REDSHIFTS) - 2)
    type_part, z_part = spectral_type - low, place - row
    corners = table[low : low + 2, row : row + 2]
    at_redshift = corners[:, 0] * (1 - z_part) + corners[:, 1] * z_part
    return np.exp(at_redshift[0] * (1 - type_part) + at_redshift[1] * type_part)


@cache
def wavelengths(bands: tuple[str, ...]) -> np.ndarray:
    """Return the effective wavelengths of bands, micron, (B,)."""
    return np.array([band.bandpass.effective_wavelength for band in bands_of(bands)]) / 1e3


def transmission(observed: np.ndarray, redshift: float) -> np.ndarray:
    """Return the mean transmission of the intergalactic hydrogen (Madau 1995).

    Beyond the Lyman limit nothing gets through, a little less than in reality.

    Args:
        observed: wavelengths, Angstrom.
        redshift: of the source.
    """
    depth = np.zeros_like(observed)
    for line, opacity in LYMAN:
        depth += np.where(observed < line * (1 + redshift), opacity * (observed / line) ** 3.46, 0)
    return np.where(observed < LYMAN_LIMIT * (1 + redshift), 0, np.exp(-depth))


@cache
def _log_ratios(bands: tuple[str, ...]) -> np.ndarray:
    """Tabulate log flux ratios, (spectra, redshifts, B).

    They end 10 mag below the band of the selection, so that they stay finite.
    """
    names = [SELECTION, *bands]
    throughputs = np.stack([band.bandpass(ANGSTROMS / 10) for band in bands_of(names)])
    # A photon counter's mean of the flux by frequency weighs them by throughput / wavelength.
    weights = throughputs / ANGSTROMS
    weights /= weights.sum(axis=1, keepdims=True)
    table = np.empty((len(SPECTRA), len(REDSHIFTS), len(names)))
    for number, name in enumerate(SPECTRA):
        at = np.loadtxt(f"{galsim.meta_data.share_dir}/SEDs/CWW_{name}_ext.sed").T
        for row, redshift in enumerate(REDSHIFTS):
            flux = np.interp(ANGSTROMS / (1 + redshift), *at) * ANGSTROMS**2  # by frequency
            table[number, row] = weights @ (flux * transmission(ANGSTROMS, redshift))
    return np.log(np.maximum(table[..., 1:] / table[..., :1], 1e-4))
