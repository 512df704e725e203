"""Which pixels of a stamp are the galaxy's."""

import math

import numpy as np

from galgen.evaluation.morphology.apertures import ANNULUS, Apertures
from galgen.evaluation.morphology.compiled import compiled

THRESHOLD = 1.5
"""Least brightness of a detected pixel, averaged over 3 x 3, over the noise of a pixel."""
FAINTEST = 0.003
"""Its least share of the brightest such average: what detects a galaxy without noise."""
LEAST = 5
"""Number of pixels that a galaxy has at least."""
CENTRAL = 0.25
"""Radius of the circle around the centre in which a galaxy is looked for, sides of the stamp."""
SMOOTHING = 0.2
"""Width of the Gaussian that smooths before the Petrosian segmentation, Petrosian radii."""


def detect(image: np.ndarray, noise: float) -> tuple[np.ndarray, int]:
    """Find connected bright pixels; the galaxy is what holds most light near the stamp's centre.

    Args:
        image: (h, w), without background.
        noise: standard deviation of a pixel.

    Returns:
        The segments' numbers (h, w), 0 for the sky, and the galaxy's; that is 0 if there is none.
    """
    smooth = _averaged(image)
    segments, number = _label(smooth > max(THRESHOLD * noise, FAINTEST * smooth.max()))
    galaxy = _most_light(image, segments, number)
    large = np.count_nonzero(segments == galaxy) >= LEAST
    return segments, galaxy if large else 0


def petrosian_segment(image: np.ndarray, apertures: Apertures, radius: float) -> np.ndarray:
    """Return which pixels are brighter than the galaxy at its Petrosian radius.

    The image is smoothed first; of several segments the one with the brightest pixel counts. Beyond
    the image there is no light.

    Source: Lotz et al. 2004, section 4.1.

    Args:
        image: (h, h), without background and neighbours.
        apertures: ellipses around the centroid, of the galaxy's shape.
        radius: Petrosian semi-major axis, px.

    Returns:
        Array (h, h) of bool.
    """
    side = len(image)
    place = np.arange(side, dtype=np.float32) / np.float32(SMOOTHING * radius)
    blur = np.exp(-0.5 * np.subtract.outer(place, place) ** 2)
    blur /= 2 * blur[0].sum() - 1
    smooth = blur @ image @ blur
    inner, outer = (apertures.cover(side, radius + half * ANNULUS) for half in (-0.5, 0.5))
    area = 2 * np.pi * radius * ANNULUS * apertures.ratio
    bright = smooth >= np.vdot(outer - inner, smooth) / area
    segment = np.zeros(image.shape, np.int32)
    _fill(bright, segment, *divmod(int(np.argmax(smooth)), side), 1)
    return segment > 0


@compiled
def _averaged(image: np.ndarray) -> np.ndarray:
    """Return the mean of 3 x 3 px around each, (h, w); 0 on the edge."""
    smooth, rows = np.zeros_like(image), np.empty(image.shape[1], np.float32)
    for y in range(1, image.shape[0] - 1):
        for x in range(image.shape[1]):
            rows[x] = image[y - 1, x] + image[y, x] + image[y + 1, x]
        for x in range(1, image.shape[1] - 1):
            smooth[y, x] = (rows[x - 1] + rows[x] + rows[x + 1]) / 9
    return smooth


@compiled
def _label(bright: np.ndarray) -> tuple[np.ndarray, int]:
    """Number connected pixels of (h, w), corners included; return their numbers and how many."""
    # A fifth of the time of scipy.ndimage.label (experiments/morphology), which would add 10 % to
    # the measurement of a stamp of 158 px.
    segments, number = np.zeros(bright.shape, np.int32), 0
    for y in range(bright.shape[0]):
        for x in range(bright.shape[1]):
            if bright[y, x] and segments[y, x] == 0:
                number += 1
                _fill(bright, segments, y, x, number)
    return segments, number


@compiled
def _fill(bright: np.ndarray, segments: np.ndarray, y: int, x: int, number: int) -> None:
    """Give a number to the pixels that are connected with one; none if it is not bright."""
    if not bright[y, x]:
        return
    height, width = bright.shape
    segments[y, x] = number
    waiting = [(y, x)]
    while waiting:
        y, x = waiting.pop()
        for row in range(max(y - 1, 0), min(y + 2, height)):
            for column in range(max(x - 1, 0), min(x + 2, width)):
                if bright[row, column] and segments[row, column] == 0:
                    segments[row, column] = number
                    waiting.append((row, column))


@compiled
def _most_light(image: np.ndarray, segments: np.ndarray, number: int) -> int:
    """Return the segment with most light near the centre of (h, w); 0 if there is no light."""
    height, width = image.shape
    middle_y, middle_x, radius = (height - 1) / 2, (width - 1) / 2, CENTRAL * min(height, width)
    light = np.zeros(number + 1)
    for y in range(height):
        for x in range(width):
            if segments[y, x] > 0 and math.hypot(y - middle_y, x - middle_x) < radius:
                light[segments[y, x]] += image[y, x]
    return int(np.argmax(light))
