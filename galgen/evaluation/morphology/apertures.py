"""Light within ellipses, and the radii that follow from it."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from galgen.evaluation.morphology.compiled import compiled

STEP = 0.1
"""Distance of the radii at which curves of growth are tabulated, px."""
CORE = 4
"""Pixels up to this distance from the centre are split, px."""
SPLIT = 5
"""Into how many parts along each axis."""
ANNULUS = 1.0
"""Width of the annuli in which surface brightness is measured, px."""
SCAN = 1.0
"""Distance of the radii at which a Petrosian radius is looked for, px along the minor axis."""
ETA = 0.2
"""Surface brightness at the Petrosian radius over the mean within it."""


@dataclass
class Cutout:
    """A square of pixels around one.

    Attributes:
        pixels: (2, h, h): the image, zero outside the stamp, and which pixels lie on it, 0 or 1.
        corner: its first pixel's place on the stamp, (y, x).
        whole: whether all of it lies on the stamp.
    """

    pixels: np.ndarray
    corner: np.ndarray
    whole: bool

    @classmethod
    def around(cls, image: np.ndarray, middle: np.ndarray, half: int) -> "Cutout":
        """Cut 2 half + 1 px around the pixel (y, x) out of a stamp."""
        corner, side = middle - half, 2 * half + 1
        whole = bool((corner >= 0).all() and (corner + side <= image.shape).all())
        return cls(_cut(image, *corner.tolist(), side), corner, whole)

    @property
    def image(self) -> np.ndarray:
        """The image, (h, h), zero outside the stamp."""
        return self.pixels[0]

    @property
    def covered(self) -> np.ndarray:
        """Which pixels lie on the stamp, 0 or 1, (h, h)."""
        return self.pixels[1]


class Apertures(NamedTuple):
    """Concentric ellipses.

    Attributes:
        y: row of their centre, px.
        x: its column, px.
        ratio: minor over major axis.
        cos: of the angle from the x axis to the major axis, towards the y axis.
        sin: of that angle.
    """

    y: float
    x: float
    ratio: float = 1.0
    cos: float = 1.0
    sin: float = 0.0

    def cover(self, side: int, reach: float) -> np.ndarray:
        """Return which part of each pixel an ellipse covers, (side, side).

        Args:
            side: of the square of pixels, px.
            reach: the ellipse's semi-major axis, px.
        """
        return _cover(self, side, float(reach))


class CurveOfGrowth:
    """The light of an image within concentric ellipses.

    The light of a pixel counts as spread evenly over the radii that it reaches to; pixels near the
    centre are split first.

    Args:
        cutout: around the galaxy.
        apertures: the ellipses.

    Attributes:
        radius: semi-major axes, STEP apart, px.
        light: within them.
        area: of the stamp within them, px.
    """

    def __init__(self, cutout: Cutout, apertures: Apertures):
        self.ratio = apertures.ratio
        self.light, self.area = _growth(cutout.pixels, apertures, cutout.whole)
        self.radius = STEP * np.arange(len(self.light))
        if cutout.whole:
            self.area = np.pi * self.ratio * self.radius**2

    def within(self, radius):
        """Return the light within some radii, px."""
        return np.interp(radius, self.radius, self.light)

    def petrosian_radius(self) -> float:
        """Return the first radius where the light is fainter than ETA times the mean within.

        Source: Lotz et al. 2004, equation 4.

        Returns:
            Semi-major axis, px; NaN where the image does not reach so far.
        """
        return _petrosian_radius(self.light, self.area, SCAN / self.ratio)

    def radius_of(self, light: float) -> float:
        """Return the first radius that holds an amount of light, px; NaN where none does."""
        after = int(np.argmax(self.light >= light))
        if after == 0:
            return np.nan
        pair = [after - 1, after]
        return np.interp(light, self.light[pair], self.radius[pair])


@compiled
def _cut(image: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    pixels = np.zeros((2, side, side), np.float32)
    for y in range(max(top, 0), min(top + side, image.shape[0])):
        for x in range(max(left, 0), min(left + side, image.shape[1])):
            pixels[0, y - top, x - left], pixels[1, y - top, x - left] = image[y, x], 1
    return pixels


@compiled
def _semi_major_axis(apertures: Apertures, y: float, x: float) -> tuple[float, float]:
    """Return that of the ellipse through a place, px, and by how much it changes within a pixel.

    In single precision: its rounding brings radii that are multiples of STEP back to them.
    """
    y, x, one = np.float32(y - apertures.y), np.float32(x - apertures.x), np.float32(1)
    if apertures.ratio == 1:
        return np.sqrt(y * y + x * x), one
    cos, sin = np.float32(apertures.cos), np.float32(apertures.sin)
    ratio = np.float32(apertures.ratio)
    along, across = cos * x + sin * y, (cos * y - sin * x) / ratio
    radius = np.sqrt(along * along + across * across)
    across /= ratio
    steep = np.sqrt(along * along + across * across)
    return radius, max(steep / max(radius, np.float32(1e-9)), one)


@compiled
def _cover(apertures: Apertures, side: int, reach: float) -> np.ndarray:
    part = np.empty((side, side), np.float32)
    for y in range(side):
        for x in range(side):
            radius, gradient = _semi_major_axis(apertures, y, x)
            part[y, x] = min(max((reach - radius) / gradient + 0.5, 0.0), 1.0)
    return part


@compiled
def _growth(pixels: np.ndarray, apertures: Apertures, whole: bool) -> np.ndarray:
    """Return what of two images (2, h, h) lies within semi-major axes STEP apart, (2, bins).

    They end where an ellipse touches an image that is whole, or reaches around one that is not.
    """
    bins = int(_reach(apertures, pixels.shape[1] - 1, whole) / STEP)
    top = max(int(np.rint(apertures.y)) - CORE, 0)
    left = max(int(np.rint(apertures.x)) - CORE, 0)
    rest = pixels.copy()
    core = rest[:, top : top + 2 * CORE + 1, left : left + 2 * CORE + 1]
    parts = np.empty((2, SPLIT * core.shape[1], SPLIT * core.shape[2]), np.float32)
    for kind in range(2):
        for y in range(parts.shape[1]):
            for x in range(parts.shape[2]):
                parts[kind, y, x] = core[kind, y // SPLIT, x // SPLIT] / SPLIT**2
    core[:] = 0
    y, x = SPLIT * (apertures.y - top + 0.5) - 0.5, SPLIT * (apertures.x - left + 0.5) - 0.5
    within = Apertures(y, x, apertures.ratio, apertures.cos, apertures.sin)
    growth = np.zeros((2, bins + 1))
    _spread(growth, rest, apertures, STEP)
    _spread(growth, parts, within, STEP * SPLIT)
    for kind in range(2):
        for _ in range(2):
            for step in range(1, bins):
                growth[kind, step] += growth[kind, step - 1]
    return growth[:, :bins]


@compiled
def _reach(apertures: Apertures, last: int, whole: bool) -> float:
    """Return the semi-major axis of the ellipse that lies within a square, or around it.

    Args:
        apertures: the ellipses.
        last: row and column of the square's last pixel; the first one has 0.
        whole: whether the ellipse lies within.
    """
    if whole:
        return min(apertures.y, apertures.x, last - apertures.y, last - apertures.x)
    reach = 0.0
    for y, x in ((0, 0), (0, last), (last, 0), (last, last)):
        reach = max(reach, _semi_major_axis(apertures, y, x)[0])
    return reach


@compiled
def _spread(growth: np.ndarray, pixels: np.ndarray, apertures: Apertures, step: float) -> None:
    """Add two images to curves of growth, each pixel spread over the radii that it reaches to.

    Args:
        growth: second differences of the curves, (2, bins + 1); the last has all beyond.
        pixels: (2, h, w).
        apertures: the ellipses, in pixels of these images.
        step: distance of the radii, in such pixels.
    """
    last, steps, one = growth.shape[1] - 1, np.float32(1 / step), np.float32(1)
    first, width = np.empty((2, pixels.shape[2]), np.int64)
    share = np.empty(pixels.shape[2], np.float32)
    for y in range(pixels.shape[1]):
        for x in range(pixels.shape[2]):  # a loop of its own becomes vector instructions
            radius, gradient = _semi_major_axis(apertures, y, x)
            spread = max(np.rint(gradient * steps), one)
            first[x] = max(radius * steps - (spread - one) / 2, np.float32(0))
            width[x], share[x] = spread, one / spread
        for x in range(pixels.shape[2]):
            begin, end = min(first[x] + 1, last), min(first[x] + 1 + width[x], last)
            for kind in range(2):
                light = pixels[kind, y, x] * share[x]
                growth[kind, begin] += light
                growth[kind, end] -= light


@compiled
def _petrosian_radius(light: np.ndarray, area: np.ndarray, scan: float) -> float:
    half = round(0.5 * ANNULUS / STEP)
    before, excess_before = round(ANNULUS / STEP), np.inf
    for step in range(math.ceil((STEP * (len(light) - 1) - 2 * ANNULUS) / scan)):
        at = round((ANNULUS + step * scan) / STEP)
        brightness = (light[at + half] - light[at - half]) / (area[at + half] - area[at - half])
        excess = abs(brightness * area[at] / light[at]) - ETA
        if excess < 0:
            return STEP * (at + excess * (at - before) / (excess_before - excess))
        before, excess_before = at, excess
    return np.nan
