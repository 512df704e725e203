"""Sersic profiles as points of light, as evenly spread as a sunflower's seeds."""

from functools import cache

import numpy as np
from scipy.special import gammaincinv

GOLDEN_ANGLE = np.pi * (3 - 5**0.5)
"""Angle between one point and the next, rad (Vogel 1979)."""
LIGHT = 0.995
"""Fraction of a profile's light within the farthest point, as far as FARTHEST allows."""
FARTHEST = 12.0
"""Radius of the farthest point, in half-light radii."""
GRID = 4000


def sersic_points(index: float, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place points in a round Sersic profile of half-light radius 1.

    Half of them lie as the light does, half as its square root, so that the outskirts have points
    too.

    Args:
        index: Sersic index.
        number: of the points.

    Returns:
        Radii, polar angles (rad), and the light of each point; it sums to 1.
    """
    radius, cumulative, density = _tables(round(index, 3))
    at = np.interp((np.arange(number) + 0.5) / number, cumulative, np.arange(GRID + 1.0))
    light = np.interp(at - 0.5, np.arange(float(GRID)), density)
    radii = np.interp(at, np.arange(GRID + 1.0), radius)
    return radii, GOLDEN_ANGLE * np.arange(number), light / light.sum()


@cache
def _tables(index: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tabulate radii, the cumulative number of points within, and the light of a point between."""
    scale = gammaincinv(2 * index, 0.5)
    last = min((gammaincinv(2 * index, LIGHT) / scale) ** index, FARTHEST)
    radius = last * np.linspace(0, 1, GRID + 1) ** max(2.0, 1.5 * index)
    middle = (radius[1:] + radius[:-1]) / 2
    area = np.diff(radius**2)
    brightness = np.exp(-scale * (middle ** (1 / index) - 1))
    light, spread = brightness * area, np.sqrt(brightness) * area
    points = light / light.sum() + spread / spread.sum()
    return radius, np.concatenate([[0], np.cumsum(points)]) / points.sum(), light / points
