"""Curves of growth and covered pixels against closed forms."""

import numpy as np
import pytest
from scipy.optimize import brentq

from galgen.evaluation.morphology.apertures import Apertures, CurveOfGrowth, Cutout

Y, X = np.mgrid[:121, :121]
SHAPES = {"circle": (1.0, 0.0), "ellipse": (0.5, 0.7)}
PETROSIAN = np.sqrt(2 * brentq(lambda a: a / np.expm1(a) - 0.2, 1, 5))
"""Petrosian radius of a Gaussian, sigmas."""


def apertures(y, x, shape):
    ratio, angle = SHAPES[shape]
    return Apertures(y, x, ratio, np.cos(angle).item(), np.sin(angle).item())


def gaussian(around, sigma):
    """Light of 1 whose isophotes are the ellipses; sigma along the major axis, px."""
    y, x = Y - around.y, X - around.x
    along, across = around.cos * x + around.sin * y, around.cos * y - around.sin * x
    radius = np.hypot(along, across / around.ratio)
    light = np.exp(-0.5 * (radius / sigma) ** 2) / (2 * np.pi * sigma**2 * around.ratio)
    return light.astype(np.float32)


def curve(around, sigma, half=60):
    cutout = Cutout.around(gaussian(around, sigma), np.array([60, 60]), half)
    corner = cutout.corner.tolist()
    return CurveOfGrowth(cutout, around._replace(y=around.y - corner[0], x=around.x - corner[1]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("half", [50, 60, 70])
def test_growth_of_a_gaussian(shape, half):
    found = curve(apertures(60.3, 59.6, shape), 8, half)
    radius = np.array([2, 4, 8, 16, 32])
    expected = 1 - np.exp(-0.5 * (radius / 8) ** 2)
    np.testing.assert_allclose(found.within(radius), expected, rtol=0.01)
    assert found.petrosian_radius() == pytest.approx(8 * PETROSIAN, rel=0.01)
    assert found.radius_of(0.5) == pytest.approx(8 * np.sqrt(2 * np.log(2)), rel=0.01)
    assert np.isnan(found.radius_of(1.1))


def test_no_petrosian_radius_where_the_image_ends_before():
    assert np.isnan(curve(apertures(60.0, 60.0, "circle"), 30, 40).petrosian_radius())


def test_only_the_stamp_has_area():
    cutout = Cutout.around(np.ones((121, 121), np.float32), np.array([0, 5]), 30)
    assert not cutout.whole
    found = CurveOfGrowth(cutout, Apertures(30.0, 30.0))
    np.testing.assert_allclose(found.area, found.light)
    assert found.area[-1] == pytest.approx(31 * 36, rel=0.01)
    inside = np.count_nonzero(np.hypot(Y, X - 5) < 20)
    assert np.interp(20, found.radius, found.area) == pytest.approx(inside, rel=0.02)


@pytest.mark.parametrize("shape", SHAPES)
def test_covered_parts_are_those_of_the_ellipse(shape):
    around = apertures(60.2, 59.7, shape)
    part = around.cover(121, 30)
    assert part.sum() == pytest.approx(np.pi * around.ratio * 30**2, rel=0.002)
    fine = (np.arange(121 * 8) + 0.5) / 8 - 0.5
    y, x = fine[:, None] - around.y, fine - around.x
    along, across = around.cos * x + around.sin * y, around.cos * y - around.sin * x
    inside = np.hypot(along, across / around.ratio) < 30
    np.testing.assert_allclose(part, inside.reshape(121, 8, 121, 8).mean((1, 3)), atol=0.25)
