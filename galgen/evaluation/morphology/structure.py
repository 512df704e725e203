"""How a galaxy's light is distributed: asymmetry, smoothness, Gini coefficient, M20."""

import math
from itertools import product

import numpy as np

from galgen.evaluation.morphology.apertures import Apertures, Cutout
from galgen.evaluation.morphology.compiled import compiled

EXTENT = 1.5
"""Radius within which asymmetry, concentration and smoothness are measured, Petrosian radii."""
BOXCAR = 0.25
"""Side of the smoothing window, and radius left out of the smoothness, Petrosian radii."""
DRIFT = 0.25
"""How far from the centroid the centre of symmetry may lie, Petrosian radii."""
LATTICE = np.array([1.0, 0.5])
"""Steps of the search for it among the quarter pixels, px."""
POLISH = np.array([0.25, 0.1, 0.05])
"""Steps of the search around the best of them, px."""
WAYS = np.array([way for way in product((-1, 0, 1), repeat=2) if any(way)])
"""To the eight neighbours."""
STRAIGHT = np.array([way for way in WAYS.tolist() if 0 in way])
"""To the four nearest."""
LEAST_MARGIN = 32
"""Pixels around the centroid that are cut out at least, so that there is sky among them."""


def drift(radius: float) -> float:
    """Return how far from the centroid the centre of symmetry may lie, by Petrosian radius, px."""
    return max(DRIFT * radius, 1.0)


def margin(radius: float) -> int:
    """Return how far around the centroid pixels are needed, by Petrosian radius, px."""
    return max(int(EXTENT * radius + 2 * drift(radius)) + 5, LEAST_MARGIN)


def window(centre: Apertures, radius: float) -> tuple[tuple[int, int], np.ndarray]:
    """Return the square in which asymmetry is measured.

    Args:
        centre: circles around it.
        radius: Petrosian radius, px.

    Returns:
        Its first pixel (y, x), and which part of its pixels the aperture covers, (h, h).
    """
    half = int(EXTENT * radius) + 2
    corner = round(centre.y) - half, round(centre.x) - half
    shifted = Apertures(centre.y - corner[0], centre.x - corner[1])
    return corner, shifted.cover(2 * half + 1, EXTENT * radius)


def centre_of_symmetry(cutout: Cutout, centroid: Apertures, radius: float) -> Apertures:
    """Find the centre around which rotation by 180 degrees changes a galaxy least.

    Odd quarters of pixels are tried first: there interpolation averages the noise of four pixels,
    which makes nearly all minima of noisy images lie there.

    Args:
        cutout: `margin(radius)` px around the pixel of the centroid.
        centroid: circles around the centroid.
        radius: Petrosian radius, px.

    Returns:
        Circles around it.
    """
    change = (cutout.image, *window(centroid, radius))
    start = (math.floor(2 * place) / 2 + 0.25 for place in (centroid.y, centroid.x))
    centre = _descend(*change, *start, LATTICE, WAYS, drift(radius))
    return Apertures(*_descend(*change, *centre, POLISH, STRAIGHT, 2 * LATTICE[-1]))


def asymmetry(cutout: Cutout, centre: Apertures, radius: float, sky: float) -> float:
    """Measure how much of the light rotation by 180 degrees changes.

    Source: Conselice 2003, section 3.2; Lotz et al. 2004, equation 10.

    Args:
        cutout: around the galaxy.
        centre: circles around the centre of symmetry.
        radius: Petrosian radius, px.
        sky: asymmetry of a pixel of sky.
    """
    corner, weight = window(centre, radius)
    turned = cutout.image[::-1, ::-1].copy()
    change = _change(cutout.image, turned, corner, weight, centre.y, centre.x)
    inner = tuple(slice(start, start + len(weight)) for start in corner)
    area = np.vdot(weight, cutout.covered[inner])
    return (change - sky * area) / np.vdot(weight, np.abs(cutout.image[inner]))


def fine_structure(image: np.ndarray, radius: float) -> np.ndarray:
    """Return the light above the average over a window, (h, w), for a Petrosian radius in px."""
    smooth = image
    for _ in range(2):
        smooth = _averaged(smooth, int(BOXCAR * radius)).T.copy()
    return np.maximum(image - smooth, 0)


def smoothness(
    cutout: Cutout, fine: np.ndarray, centre: Apertures, radius: float, sky: float
) -> float:
    """Measure the share of light in fine structure, outside the centre: 0 for a smooth galaxy.

    Source: Lotz et al. 2004, equation 11 (Conselice 2003 has ten times it).

    Args:
        cutout: around the galaxy.
        fine: its `fine_structure`, (h, h).
        centre: circles around the centre of symmetry.
        radius: Petrosian radius, px.
        sky: fine structure of a pixel of sky.
    """
    outer, inner = (centre.cover(len(fine), share * radius) for share in (EXTENT, BOXCAR))
    ring = outer - inner
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


@compiled
def _averaged(image: np.ndarray, window: int) -> np.ndarray:
    """Average rows (h, w) over a window of rows, mirrored at the edges; h is larger than it."""
    last, smooth, total = len(image) - 1, np.empty_like(image), np.zeros(image.shape[1])
    for row in range(-(window // 2) - 1, window - window // 2 - 1):
        for column in range(len(total)):
            total[column] += image[max(row, -1 - row), column]
    for row in range(len(image)):
        begin, end = row - window // 2 - 1, row - window // 2 - 1 + window
        leaves, enters = max(begin, -1 - begin), min(end, 2 * last + 1 - end)
        for column in range(len(total)):
            total[column] = total[column] + image[enters, column] - image[leaves, column]
            smooth[row, column] = total[column] / window
    return smooth


@compiled
def _descend(
    image: np.ndarray,
    corner: tuple[int, int],
    weight: np.ndarray,
    y: float,
    x: float,
    steps: np.ndarray,
    ways: np.ndarray,
    reach: float,
) -> tuple[float, float]:
    """Go from (y, x) to the neighbour of least change until none is less, step by step.

    No further than the reach along each axis.
    """
    turned = image[::-1, ::-1].copy()
    start_y, start_x, least = y, x, _change(image, turned, corner, weight, y, x)
    for step in steps:
        moved = True
        while moved:
            moved, place_y, place_x = False, y, x
            for up, right in ways:
                y_there, x_there = place_y + step * up, place_x + step * right
                if max(abs(y_there - start_y), abs(x_there - start_x)) > reach + 1e-9:
                    continue
                change = _change(image, turned, corner, weight, y_there, x_there)
                if change < least:
                    moved, least, y, x = True, change, y_there, x_there
    return y, x


@compiled
def _change(
    image: np.ndarray,
    turned: np.ndarray,
    corner: tuple[int, int],
    weight: np.ndarray,
    y: float,
    x: float,
) -> float:
    """Sum how much rotation by 180 degrees around a place changes pixels, interpolating bilinearly.

    Args:
        image: (h, h).
        turned: the same around its middle.
        corner: first pixel (y, x) of the part that is compared.
        weight: of the part's pixels, (n, n).
        y: row of the place, px.
        x: its column, px.

    Returns:
        The sum; infinity where the image does not reach so far.
    """
    side, last = len(weight), len(image) - 1
    start_y, start_x = last - 2 * y + corner[0], last - 2 * x + corner[1]
    top, left = math.floor(start_y), math.floor(start_x)
    if min(top, left) < 0 or max(top, left) + side > last:
        return np.inf
    down, right = np.float32(start_y - top), np.float32(start_x - left)
    up, stay = np.float32(1) - down, np.float32(1) - right
    sums = np.zeros(side, np.float32)  # by column, so that the loop becomes vector instructions
    for row in range(side):
        here = image[corner[0] + row, corner[1] : corner[1] + side]
        above, below = turned[top + row, left:], turned[top + row + 1, left:]
        for column in range(side):
            near = up * above[column] + down * below[column]
            far = up * above[column + 1] + down * below[column + 1]
            difference = here[column] - (stay * near + right * far)
            sums[column] += weight[row, column] * abs(difference)
    total = 0.0
    for column in range(side):
        total += sums[column]
    return total
