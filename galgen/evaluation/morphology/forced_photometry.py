"""The light of galaxies in several bands, in circles that one of the bands defines."""

import numpy as np

from galgen.data.edges import edge_level
from galgen.evaluation.morphology.apertures import Apertures, CurveOfGrowth, Cutout

MARGIN = 4
"""Pixels of a cutout beyond its largest circle."""


def forced_photometry(
    images: np.ndarray, centres: np.ndarray, radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the flux within the same circles in every band.

    The background of a band is the median of the stamp's outer frame. Other galaxies within the
    circles count, and PSFs that differ between bands are not brought to one width.

    Args:
        images: (N, B, H, W).
        centres: row and column of the circles' centres, (N, 2), px; NaN where there are none.
        radii: of the circles, (N, R), px; the last is the largest.

    Returns:
        Fluxes (N, B, R), and the radii (N, B), px, that hold half of the flux within the largest
        circle; NaN where there is no circle or no such radius.
    """
    n, bands = images.shape[:2]
    flux, half = np.full((n, bands, radii.shape[1]), np.nan), np.full((n, bands), np.nan)
    usable = np.isfinite(centres).all(axis=1) & np.isfinite(radii).all(axis=1)
    usable &= np.isfinite(images).all(axis=(1, 2, 3))
    for row in np.flatnonzero(usable):
        middle = np.round(centres[row]).astype(int)
        side = int(radii[row, -1]) + MARGIN
        for band, sky in enumerate(edge_level(images[row])):
            cutout = Cutout.around(images[row, band] - sky, middle, side)
            growth = CurveOfGrowth(cutout, Apertures(*(centres[row] - cutout.corner).tolist()))
            flux[row, band] = growth.within(radii[row])
            half[row, band] = growth.radius_of(0.5 * flux[row, band, -1])
    return flux, half
