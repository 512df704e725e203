"""Which pixels of a stamp are the galaxy's."""

from functools import cache

import numpy as np
import scipy.linalg
from scipy import ndimage

from galgen.evaluation.apertures import ANNULUS, Apertures

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
CORNERS_TOUCH = np.ones((3, 3))


def detect(image: np.ndarray, noise: float) -> tuple[np.ndarray, int]:
    """Find connected bright pixels; the galaxy is what holds most light near the stamp's centre.

    Args:
        image: (h, w), without background.
        noise: standard deviation of a pixel.

    Returns:
        The segments' numbers (h, w), 0 for the sky, and the galaxy's; that is 0 if there is none.
    """
    rows = image[:-2] + image[1:-1] + image[2:]
    smooth = np.zeros_like(image)
    smooth[1:-1, 1:-1] = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9
    bright = smooth > max(THRESHOLD * noise, FAINTEST * smooth.max())
    segments, number = ndimage.label(bright, CORNERS_TOUCH)
    central = _central(*image.shape)
    light = np.bincount(segments[central], image[central], number + 1)
    light[0] = 0
    galaxy = int(np.argmax(light))
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
    place = np.arange(len(image), dtype=np.float32)
    kernel = np.exp(-0.5 * (place / (SMOOTHING * radius)) ** 2)
    blur = scipy.linalg.toeplitz(kernel / (2 * kernel.sum() - 1))
    smooth = blur @ image @ blur
    inner, outer = (apertures.cover(radius + side * ANNULUS) for side in (-0.5, 0.5))
    area = 2 * np.pi * radius * ANNULUS * apertures.ellipse.ratio
    segments, _ = ndimage.label(smooth >= np.vdot(outer - inner, smooth) / area, CORNERS_TOUCH)
    brightest = segments.flat[np.argmax(smooth)]
    return (segments == brightest) & (segments > 0)


@cache
def _central(height: int, width: int) -> np.ndarray:
    """Return which pixels are near the centre of a stamp."""
    y, x = (np.arange(side) - (side - 1) / 2 for side in (height, width))
    return np.hypot(y[:, None], x) < CENTRAL * min(height, width)
