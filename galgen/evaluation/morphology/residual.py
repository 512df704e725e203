"""What is left of a galaxy without its smooth profile: arms, bars, clumps, tails."""

import math

import numpy as np

from galgen.evaluation.morphology.apertures import Apertures, Cutout
from galgen.evaluation.morphology.compiled import compiled

NEAREST = 2.0
"""Distance from the centre within which a peak is the galaxy's own, px."""
SIGNIFICANT = 5.0
"""Least height of a clump, in standard deviations of the sky."""
CONTRAST = 0.2
"""Least height of a clump over the smooth profile at its place."""


def residual_statistics(
    cutout: Cutout, ellipses: Apertures, radius: float, sky: np.ndarray
) -> dict[str, float]:
    """Measure what a galaxy has beside a smooth profile.

    The profile is the mean brightness along ellipses of the galaxy's shape, so no smooth profile
    of one centre, ellipticity and angle, such as Sérsic's, is nearer to the image. What noise
    alone leaves is subtracted by that of the sky.

    Source: of the residual flux, Hoyos et al. 2011, equation 1.

    Args:
        cutout: around the galaxy.
        ellipses: around its centre.
        radius: semi-major axis of the ellipse that is measured in, px.
        sky: which pixels are sky, (h, h) of bool.

    Returns:
        `residual_flux`: absolute residual over the light; `residual_power`: squared residual over
        the squared profile; `clumps`: peaks of the residual, smoothed over 3 px, that stand out of
        the sky and of the profile.
    """
    residual, profile, distance = _without_profile(cutout.pixels, *ellipses)
    inside = (distance <= radius) & (cutout.covered > 0)
    smooth = _smoothed(residual)
    dark = cutout.image[sky].astype(float)
    least = SIGNIFICANT * np.std(_smoothed(cutout.image)[sky]) if len(dark) else 0.0
    noise, power = (np.mean(values) if len(dark) else 0.0 for values in (np.abs(dark), dark**2))
    area, light = np.count_nonzero(inside), cutout.image[inside].sum()
    peaks = _is_peak(smooth, np.maximum(least, CONTRAST * profile))
    return {
        "residual_flux": (np.abs(residual[inside]).sum() - area * noise) / light,
        "residual_power": ((residual[inside] ** 2).sum() - area * power)
        / (profile[inside] ** 2).sum(),
        "clumps": np.count_nonzero(peaks & inside & (distance > NEAREST)),
    }


@compiled
def _without_profile(
    pixels: np.ndarray, y: float, x: float, ratio: float, cos: float, sin: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Subtract the mean along ellipses, px apart, interpolated linearly between them.

    Returns:
        The residual, the profile, and the semi-major axis of each pixel's ellipse, (h, h) each.
    """
    side = pixels.shape[1]
    distance = np.empty((side, side))
    for row in range(side):
        for column in range(side):
            up, right = row - y, column - x
            along, across = cos * right + sin * up, cos * up - sin * right
            distance[row, column] = math.hypot(along, across / ratio)
    total, weight = np.zeros(int(distance.max()) + 2), np.zeros(int(distance.max()) + 2)
    for row in range(side):
        for column in range(side):
            place = distance[row, column]
            before, share = int(place), place - int(place)
            for node, part in ((before, 1 - share), (before + 1, share)):
                total[node] += part * pixels[0, row, column] * pixels[1, row, column]
                weight[node] += part * pixels[1, row, column]
    mean = total / np.maximum(weight, 1e-30)
    profile = np.empty((side, side))
    for row in range(side):
        for column in range(side):
            place = distance[row, column]
            before, share = int(place), place - int(place)
            profile[row, column] = (1 - share) * mean[before] + share * mean[before + 1]
    return pixels[0] - profile, profile, distance


@compiled
def _smoothed(image: np.ndarray) -> np.ndarray:
    """Average over 3 x 3 px with the weights 1, 2, 1 along each axis; the frame stays."""
    smooth = image.astype(np.float64)
    for row in range(1, len(image) - 1):
        for column in range(1, len(image) - 1):
            total = 0.0
            for up in range(-1, 2):
                for right in range(-1, 2):
                    weight = (2 - abs(up)) * (2 - abs(right))
                    total += weight * image[row + up, column + right]
            smooth[row, column] = total / 16
    return smooth


@compiled
def _is_peak(image: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Tell which pixels (h, h) are above the least and above their eight neighbours."""
    found = np.zeros(image.shape, np.bool_)
    for row in range(1, len(image) - 1):
        for column in range(1, len(image) - 1):
            here, highest = image[row, column], image[row, column] > least[row, column]
            for up in range(-1, 2):
                for right in range(-1, 2):
                    if up != 0 or right != 0:
                        highest &= here > image[row + up, column + right]
            found[row, column] = highest
    return found
