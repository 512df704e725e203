"""How a galaxy's light is distributed: asymmetry, smoothness, Gini coefficient, M20."""

import math
from collections.abc import Callable
from functools import cache
from itertools import product

import numpy as np
from scipy import ndimage

from galgen.evaluation.apertures import Apertures, Cutout

EXTENT = 1.5
"""Radius within which asymmetry, concentration and smoothness are measured, Petrosian radii."""
BOXCAR = 0.25
"""Side of the smoothing window, and radius left out of the smoothness, Petrosian radii."""
DRIFT = 0.25
"""How far from the centroid the centre of symmetry may lie, Petrosian radii."""
LATTICE = (1.0, 0.5)
"""Steps of the search for it among the quarter pixels, px."""
POLISH = (0.25, 0.1, 0.05)
"""Steps of the search around the best of them, px."""
WAYS = [way for way in product((-1, 0, 1), repeat=2) if any(way)]
"""To the eight neighbours."""
STRAIGHT = [way for way in WAYS if 0 in way]
"""To the four nearest."""
LEAST_MARGIN = 32
"""Pixels around the centroid that are cut out at least, so that there is sky among them."""


def drift(radius: float) -> float:
    """Return how far from the centroid the centre of symmetry may lie, by Petrosian radius, px."""
    return max(DRIFT * radius, 1.0)


def margin(radius: float) -> int:
    """Return how far around the centroid pixels are needed, by Petrosian radius, px."""
    return max(int(EXTENT * radius + 2 * drift(radius)) + 5, LEAST_MARGIN)


def rotated(image: np.ndarray, centre: tuple, middle: tuple, half: int) -> np.ndarray:
    """Turn part of an image by 180 degrees around a centre, interpolating bilinearly.

    Args:
        image: (h, w).
        centre: (y, x), px.
        middle: pixel in the middle of the part, (y, x).
        half: of the part's side, px.

    Returns:
        Array (2 half + 1, 2 half + 1).
    """
    turned, side = image[::-1, ::-1], 2 * half + 1
    for axis in (0, 1):
        start = image.shape[axis] - 1 - 2 * centre[axis] + middle[axis] - half
        whole = math.floor(start)
        share = start - whole
        near, far = (
            turned[rows] if axis == 0 else turned[:, rows]
            for rows in (slice(whole, whole + side), slice(whole + 1, whole + 1 + side))
        )
        turned = (1 - share) * near + share * far
    return turned


def around(middle: tuple, half: int) -> tuple[slice, slice]:
    """Return where 2 half + 1 px around a pixel (y, x) lie."""
    return tuple(slice(place - half, place + half + 1) for place in middle)


def centre_of_symmetry(cutout: Cutout, apertures: Apertures, radius: float) -> np.ndarray:
    """Find the centre around which rotation by 180 degrees changes a galaxy least.

    Odd quarters of pixels are tried first: there interpolation averages the noise of four pixels,
    which makes nearly all minima of noisy images lie there.

    Args:
        cutout: `margin(radius)` px around the pixel of the centroid.
        apertures: circles around the centroid.
        radius: Petrosian radius, px.

    Returns:
        Centre (y, x), px.
    """
    image = cutout.image
    middle, half = (len(image) // 2,) * 2, int(EXTENT * radius) + 2
    inner = around(middle, half)
    part, weight = image[inner].copy(), apertures.cover(EXTENT * radius)[inner].copy()
    averaged = 0.25 * (image[1:, 1:] + image[1:, :-1] + image[:-1, 1:] + image[:-1, :-1])
    averaged, corner = averaged[::-1, ::-1], 3 * middle[0] - 0.5

    def at_quarters(centre):
        turned = averaged[around([int(corner - 2 * place) for place in centre], half)]
        return np.vdot(weight, np.abs(part - turned))

    def anywhere(centre):
        return np.vdot(weight, np.abs(part - rotated(image, centre, middle, half)))

    start = tuple((np.floor(2 * apertures.centre) / 2 + 0.25).tolist())
    centre = descend(at_quarters, start, LATTICE, WAYS, drift(radius))
    return np.array(descend(anywhere, centre, POLISH, STRAIGHT, 2 * LATTICE[-1]))


def asymmetry(cutout: Cutout, apertures: Apertures, radius: float, sky: float) -> float:
    """Measure how much of the light rotation by 180 degrees changes.

    Source: Conselice 2003, section 3.2; Lotz et al. 2004, equation 10.

    Args:
        cutout: around the galaxy.
        apertures: circles around the centre of symmetry.
        radius: Petrosian radius, px.
        sky: asymmetry of a pixel of sky.
    """
    middle, half = np.round(apertures.centre).astype(int), int(EXTENT * radius) + 2
    inner = around(middle, half)
    weight, part = apertures.cover(EXTENT * radius)[inner], cutout.image[inner]
    change = np.abs(part - rotated(cutout.image, apertures.centre, middle, half))
    area = np.vdot(weight, cutout.covered[inner])
    return (np.vdot(weight, change) - sky * area) / np.vdot(weight, np.abs(part))


def descend(
    function: Callable, start: tuple, steps: tuple, ways: list[tuple], reach: float
) -> tuple:
    """Go to the least of a place's neighbours until none is less, for one step width after another.

    Args:
        function: of a place (y, x).
        start: the first place.
        steps: distances to neighbours.
        ways: to the neighbours, for a step of 1.
        reach: how far along each axis to go from the start.

    Returns:
        The last place.
    """
    value, place = cache(function), start
    for step in steps:
        while True:
            ahead = [(place[0] + step * up, place[1] + step * right) for up, right in ways]
            near = [there for there in ahead if _distance(there, start) <= reach + 1e-9]
            least = min([place, *near], key=value)
            if least == place:
                break
            place = least
    return place


def _distance(one: tuple, other: tuple) -> float:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1]))


def fine_structure(image: np.ndarray, radius: float) -> np.ndarray:
    """Return the light above the average over a window, (h, w), for a Petrosian radius in px."""
    return np.maximum(image - ndimage.uniform_filter(image, int(BOXCAR * radius)), 0)


def smoothness(
    cutout: Cutout, fine: np.ndarray, apertures: Apertures, radius: float, sky: float
) -> float:
    """Measure the share of light in fine structure, outside the centre: 0 for a smooth galaxy.

    Source: Lotz et al. 2004, equation 11 (Conselice 2003 has ten times it).

    Args:
        cutout: around the galaxy.
        fine: its `fine_structure`, (h, h).
        apertures: circles around the centre of symmetry.
        radius: Petrosian radius, px.
        sky: fine structure of a pixel of sky.
    """
    ring = apertures.cover(EXTENT * radius) - apertures.cover(BOXCAR * radius)
    excess = np.vdot(ring, fine) - sky * np.vdot(ring, cutout.covered)
    return excess / np.vdot(ring, cutout.image)


def gini(light: np.ndarray) -> float:
    """Measure how unequally light is distributed over pixels (n,): 0 evenly, 1 all in one.

    Source: Lotz et al. 2004, equation 6.
    """
    ordered = np.sort(np.abs(light))
    n = len(ordered)
    return np.vdot(np.arange(1 - n, n, 2), ordered) / ((n - 1) * ordered.sum())


def m20(moment: np.ndarray, light: np.ndarray) -> float:
    """Measure where the brightest fifth of the light lies.

    Source: Lotz et al. 2004, equations 7 and 8.

    Args:
        moment: light of each pixel times its squared distance from the centroid, (n,).
        light: (n,).

    Returns:
        Logarithm of that fifth's share of the second moment.
    """
    order = np.argsort(-light)
    fifth = order[: np.searchsorted(np.cumsum(light[order]), 0.2 * light.sum()) + 1]
    return np.log10(moment[fifth].sum() / moment.sum())
