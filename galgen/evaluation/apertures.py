"""Light within ellipses, and the radii that follow from it."""

from dataclasses import dataclass

import numpy as np

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
class Ellipse:
    """The shape of concentric ellipses: minor over major axis, and the major axis' angle, radian.

    Angles run from the x axis to the y axis.
    """

    ratio: float = 1.0
    angle: float = 0.0

    def radius(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        """Return the semi-major axis of the ellipse through each place, and its gradient.

        Args:
            y: distance from the centre along the rows' axis, (h, 1), px.
            x: distance from the centre along the columns' axis, (w,), px.

        Returns:
            Semi-major axes, (h, w), px, and by how much they change within a pixel.
        """
        if self.ratio == 1:
            return np.sqrt(y**2 + x**2), 1.0
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        along, across = (cos * x + sin * y) ** 2, ((cos * y - sin * x) / self.ratio) ** 2
        radius = np.sqrt(along + across)
        steep = np.sqrt(along + across / self.ratio**2)
        return radius, np.maximum(steep / np.maximum(radius, 1e-9), 1.0)


CIRCLE = Ellipse()


@dataclass
class Cutout:
    """A square of pixels around one.

    Attributes:
        image: (h, h), zero outside the stamp.
        covered: which of its pixels lie on the stamp, 0 or 1.
        corner: its first pixel's place on the stamp, (y, x).
        whole: whether all of it lies on the stamp.
    """

    image: np.ndarray
    covered: np.ndarray
    corner: np.ndarray
    whole: bool

    @classmethod
    def around(cls, image: np.ndarray, middle: np.ndarray, half: int) -> "Cutout":
        """Cut 2 half + 1 px around the pixel (y, x) out of a stamp."""
        corner = middle - half
        low, high = np.maximum(corner, 0), np.minimum(middle + half + 1, image.shape)
        out, into = (tuple(map(slice, low - at, high - at)) for at in (0, corner))
        cut, covered = np.zeros((2, 2 * half + 1, 2 * half + 1), np.float32)
        cut[into], covered[into] = image[out], 1
        return cls(cut, covered, corner, whole=bool((high - low == 2 * half + 1).all()))


class Apertures:
    """Concentric ellipses on a cutout.

    Args:
        side: of the cutout, px.
        centre: of the ellipses, (y, x), px.
        ellipse: their shape.

    Attributes:
        radius: semi-major axes of the ellipses through the pixels' centres, (h, h), px.
        gradient: how much the semi-major axis changes within a pixel, (h, h) or a number, px.
    """

    def __init__(self, side: int, centre: np.ndarray, ellipse: Ellipse = CIRCLE):
        self.centre, self.ellipse = centre, ellipse
        y, x = ((np.arange(side) - place).astype(np.float32) for place in centre)
        self.radius, self.gradient = ellipse.radius(y[:, None], x)
        self.nearest_edge = min(-y[0], -x[0], y[-1], x[-1])
        self.core = tuple(
            slice(max(round(place) - CORE, 0), round(place) + CORE + 1) for place in centre
        )
        parts = ((np.arange(SPLIT) + 0.5) / SPLIT - 0.5).astype(np.float32)
        y, x = (
            np.add.outer(axis[near], parts).ravel()
            for axis, near in zip((y, x), self.core, strict=True)
        )
        self.split_radius, gradient = ellipse.radius(y[:, None], x)
        self.split_gradient = gradient / SPLIT

    def cover(self, reach: float) -> np.ndarray:
        """Return which part of each pixel an ellipse covers, (h, h), by its semi-major axis, px."""
        return np.minimum(np.maximum((reach - self.radius) / self.gradient + 0.5, 0), 1)


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
        self.ellipse = apertures.ellipse
        whole = cutout.whole
        reach = apertures.nearest_edge if whole else apertures.radius.max()
        self.radius = STEP * np.arange(int(reach / STEP))
        self.light = self._grow(cutout.image, apertures)
        if whole:
            self.area = np.pi * self.ellipse.ratio * self.radius**2
        else:
            self.area = self._grow(cutout.covered, apertures)

    def _grow(self, values: np.ndarray, apertures: Apertures) -> np.ndarray:
        rest, bins = values.copy(), len(self.radius)
        rest[apertures.core] = 0
        split = np.repeat(np.repeat(values[apertures.core], SPLIT, axis=0), SPLIT, axis=1)
        growth = _cumulated(rest, apertures.radius, apertures.gradient, bins)
        growth += _cumulated(
            split / SPLIT**2, apertures.split_radius, apertures.split_gradient, bins
        )
        return growth

    def within(self, radius):
        """Return the light within some radii, px."""
        return np.interp(radius, self.radius, self.light)

    def petrosian_radius(self) -> float:
        """Return the first radius where the light is fainter than ETA times the mean within.

        Source: Lotz et al. 2004, equation 4.

        Returns:
            Semi-major axis, px; NaN where the image does not reach so far.
        """
        bins = np.arange(ANNULUS, self.radius[-1] - ANNULUS, SCAN / self.ellipse.ratio) / STEP
        bins, half = np.round(bins).astype(int), round(0.5 * ANNULUS / STEP)
        light, area = (
            (growth[bins + half] - growth[bins - half]) / growth[bins]
            for growth in (self.light, self.area)
        )
        excess = np.abs(light / area) - ETA
        after = int(np.argmax(excess < 0))
        if not excess[after] < 0:
            return np.nan
        if after == 0:
            return ANNULUS
        pair = [after, after - 1]
        return np.interp(0, excess[pair], self.radius[bins[pair]])

    def radius_of(self, light: float) -> float:
        """Return the first radius that holds an amount of light, px; NaN where none does."""
        after = int(np.argmax(self.light >= light))
        if after == 0:
            return np.nan
        pair = [after - 1, after]
        return np.interp(light, self.light[pair], self.radius[pair])


def _cumulated(values: np.ndarray, radius: np.ndarray, width, bins: int) -> np.ndarray:
    """Cumulate light over radius.

    Args:
        values: light of pixels, or parts of them, (h, w).
        radius: of their centres, (h, w), px.
        width: over how much of radius their light is spread, (h, w) or a number, px.
        bins: number of radii, STEP apart.

    Returns:
        Array (bins,).
    """
    width = np.maximum(np.rint(np.multiply(width, 1 / STEP)), 1)
    first = np.maximum(radius * (1 / STEP) - 0.5 * (width - 1), 0).astype(np.intp)
    slope = (values / width).ravel()
    begin = np.bincount(first.ravel(), slope, bins)[:bins]
    if width.ndim:
        end = np.bincount((first + width.astype(np.intp)).ravel(), slope, bins)[:bins]
    else:
        end = np.concatenate([np.zeros(int(width)), begin])[:bins]
    return np.concatenate([[0.0], np.cumsum(np.cumsum(begin - end))[:-1]])
