"""The statistics of one galaxy, in units of pixels."""

import math

import numpy as np

from galgen.evaluation.morphology.apertures import Apertures, CurveOfGrowth, Cutout
from galgen.evaluation.morphology.compiled import compiled
from galgen.evaluation.morphology.residual import residual_statistics
from galgen.evaluation.morphology.segmentation import petrosian_segment
from galgen.evaluation.morphology.structure import (
    BOXCAR,
    EXTENT,
    asymmetry,
    centre_of_symmetry,
    fine_structure,
    gini,
    m20,
    margin,
    smoothness,
)

CUTOUT = 1.25
"""Half of the cutout's side in which the Petrosian radius is looked for first, over the segment's
side; it doubles until the radius is found."""
LEAST_CUTOUT = 24
"""That half is so large at least, px."""
THINNEST = 0.05
"""Least ratio of an ellipse's axes: a row of pixels has 0."""
LEAST_SKY = 100
"""Number of pixels of sky that are enough outside the apertures."""


class Galaxy:
    """One galaxy on its stamp.

    Args:
        image: the stamp, (H, W), without background.
        segments: their numbers, (H, W), 0 for the sky.
        number: of the galaxy's segment; the light of the others is left out.
    """

    def __init__(self, image: np.ndarray, segments: np.ndarray, number: int):
        self.shape = image.shape
        y, x = _pixels(segments == number)
        self.centroid, self.covariance = second_moments(y, x, np.maximum(image[y, x], 0))
        sky = (segments == 0).astype(np.float32)
        alone = sky * image
        alone[y, x] = image[y, x]
        middle = np.round(self.centroid).astype(int)
        extent = max(np.ptp(y), np.ptp(x)) + 1
        radius = self._first_radius(alone, middle, max(LEAST_CUTOUT, int(CUTOUT * extent)))
        self.complete = bool(np.isfinite(radius))
        self.radius = radius if self.complete else min(self.shape) / 2
        self.cutout = Cutout.around(alone, middle, margin(self.radius))
        self.sky = Cutout.around(sky, middle, margin(self.radius)).image > 0

    def statistics(self) -> dict[str, float]:
        """Measure all but adaptive moments.

        Returns:
            Numbers by name, lengths in px; among them `brightness`, the mean of a pixel of the
            Petrosian segmentation that is not negative, `sky_asymmetry` and `sky_smoothness`, what
            a pixel of sky adds, and `complete`, whether the apertures and the Petrosian radius lie
            on the stamp.
        """
        cutout, image = self.cutout, self.cutout.image
        around_centroid = Apertures(*(self.centroid - cutout.corner).tolist())
        circles = centre_of_symmetry(cutout, around_centroid, self.radius)
        pairs = self._sky_pairs(around_centroid)
        sky = _mean(np.abs(image - image[::-1, ::-1]), pairs)
        measured = {"sky_asymmetry": sky, **self._circular(circles)}
        measured["asymmetry"] = asymmetry(cutout, circles, self.radius, sky)
        radius = measured["petrosian_radius"]
        if int(BOXCAR * radius) > 1:
            fine = fine_structure(image, radius)
            measured["sky_smoothness"] = sky = _mean(fine, pairs)
            measured["smoothness"] = smoothness(cutout, fine, circles, radius, sky)
        measured["centroid_y"], measured["centroid_x"] = self.centroid
        return measured | self._distribution(circles, radius, pairs) | {"complete": self.complete}

    def _first_radius(self, image: np.ndarray, middle: np.ndarray, half: int) -> float:
        """Return the Petrosian radius around the centroid; NaN where the stamp is too small.

        Args:
            image: the stamp, (H, W).
            middle: pixel that is the middle of cutouts, (y, x).
            half: of the first cutout's side, px; it grows until the radius lies within.
        """
        radius = np.nan
        while not np.isfinite(radius) and half < 2 * max(self.shape):
            cutout = Cutout.around(image, middle, half)
            circles = Apertures(*(self.centroid - cutout.corner).tolist())
            radius = CurveOfGrowth(cutout, circles).petrosian_radius()
            half *= 2
        return radius

    def _sky_pairs(self, circles: Apertures) -> np.ndarray:
        """Return where the cutout has sky, and sky opposite, outside the apertures.

        If these are too few, nearer ones count too.
        """
        y, x = (np.arange(len(self.sky)) - place for place in (circles.y, circles.x))
        far = self.sky & (np.add.outer(y**2, x**2) > (EXTENT * self.radius) ** 2)
        pairs = far & far[::-1, ::-1]
        enough = np.count_nonzero(pairs) >= LEAST_SKY
        return pairs if enough else self.sky & self.sky[::-1, ::-1]

    def _circular(self, circles: Apertures) -> dict[str, float]:
        """Measure flux, radii and concentration in circles around the centre of symmetry."""
        growth = CurveOfGrowth(self.cutout, circles)
        radius = growth.petrosian_radius()
        self.complete &= bool(np.isfinite(radius))
        radius = radius if np.isfinite(radius) else self.radius
        place = (circles.y, circles.x) + self.cutout.corner + 0.5
        self.complete &= EXTENT * radius <= min(*place, *(self.shape - place))
        flux = growth.within(EXTENT * radius)
        r20, r50, r80 = (growth.radius_of(share * flux) for share in (0.2, 0.5, 0.8))
        return {
            "petrosian_radius": radius,
            "flux": flux,
            "half_light_radius": r50,
            "concentration": 5 * np.log10(r80 / r20),
        }

    def _distribution(
        self, circles: Apertures, radius: float, pairs: np.ndarray
    ) -> dict[str, float]:
        """Measure the pixels of the Petrosian segmentation, and what no smooth profile explains.

        Args:
            circles: around the centre of symmetry.
            radius: Petrosian radius in circles, px, that stands in for one in ellipses.
            pairs: where the cutout has sky, (h, h).
        """
        image, centre = self.cutout.image, (circles.y, circles.x)
        shift = self.centroid - self.cutout.corner - centre
        ellipses = Apertures(*centre, *ellipse_of(self.covariance + np.outer(shift, shift)))
        elliptical = CurveOfGrowth(self.cutout, ellipses).petrosian_radius()
        radius = elliptical if np.isfinite(elliptical) else radius
        own = petrosian_segment(image, ellipses, radius) & (self.cutout.covered > 0)
        y, x = _pixels(own)
        light = image[y, x]
        (yc, xc), covariance = second_moments(y, x, light)
        ratio = axis_ratio(covariance)
        return {
            "gini": gini(light),
            "m20": m20(light * ((y - yc) ** 2 + (x - xc) ** 2), light),
            "moment_size": np.sqrt(np.trace(covariance) / 2),
            "moment_ellipticity": (1 - ratio) / (1 + ratio),
            "brightness": _mean(light, light >= 0),
            **residual_statistics(self.cutout, ellipses, radius, pairs),
        }


@compiled
def second_moments(y: np.ndarray, x: np.ndarray, light: np.ndarray) -> tuple:
    """Return the centroid (y, x) of pixels in rows y and columns x, and their covariance (2, 2)."""
    flux = yc = xc = yy = xy = xx = 0.0
    for pixel in range(len(light)):
        flux += light[pixel]
        yc += light[pixel] * y[pixel]
        xc += light[pixel] * x[pixel]
    yc, xc = yc / flux, xc / flux
    for pixel in range(len(light)):
        up, right = y[pixel] - yc, x[pixel] - xc
        yy += light[pixel] * up**2
        xy += light[pixel] * up * right
        xx += light[pixel] * right**2
    return np.array([yc, xc]), np.array([[yy / flux, xy / flux], [xy / flux, xx / flux]])


def axis_ratio(covariance: np.ndarray) -> float:
    """Return minor over major axis of the ellipse with a covariance (2, 2); 0 if it has none."""
    mean = np.trace(covariance) / 2
    spread = np.hypot((covariance[1, 1] - covariance[0, 0]) / 2, covariance[0, 1])
    return np.sqrt(max(mean - spread, 0) / (mean + spread))


def ellipse_of(covariance: np.ndarray) -> tuple[float, float, float]:
    """Return the shape of the ellipse with a covariance of (y, x), (2, 2).

    Returns:
        Minor over major axis, cosine and sine of the major axis' angle from x to y.
    """
    (yy, xy), (_, xx) = covariance.tolist()
    angle = 0.5 * math.atan2(2 * xy, xx - yy)
    return max(THINNEST, float(axis_ratio(covariance))), math.cos(angle), math.sin(angle)


def _mean(values: np.ndarray, where: np.ndarray) -> float:
    number = np.count_nonzero(where)
    return np.vdot(where, values) / number if number else 0.0


@compiled
def _pixels(where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the pixels that are true of (h, w)."""
    return np.nonzero(where)
