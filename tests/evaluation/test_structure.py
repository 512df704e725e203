"""The search of the centre of symmetry, asymmetry and smoothing against scipy."""

import numpy as np
import pytest
from scipy import ndimage

from galgen.evaluation.morphology.apertures import Apertures, Cutout
from galgen.evaluation.morphology.structure import (
    asymmetry,
    centre_of_symmetry,
    fine_structure,
    window,
)

Y, X = np.mgrid[:101, :101]
RADIUS = 14.0


def blob(y, x, sigma=3.0):
    return np.exp(-0.5 * ((Y - y) ** 2 + (X - x) ** 2) / sigma**2)


def cutout_of(image):
    return Cutout.around(image.astype(np.float32), np.array([50, 50]), 45)


@pytest.mark.parametrize("place", [(50.25, 49.75), (50.4, 49.85), (51.1, 51.95)])
def test_the_centre_of_symmetry_is_found(place):
    y, x = place
    image = blob(y, x, 4) + 0.6 * blob(y + 5, x + 3) + 0.6 * blob(y - 5, x - 3)
    start = Apertures(y - 5 + 1.3, x - 5 - 0.8)
    found = centre_of_symmetry(cutout_of(image), start, RADIUS)
    assert (found.y + 5, found.x + 5) == pytest.approx(place, abs=0.051)
    assert asymmetry(cutout_of(image), found, RADIUS, 0) < 0.02


def test_the_search_stops_where_the_cutout_ends():
    ramp = Cutout.around((X + Y).astype(np.float32) ** 4, np.array([50, 50]), 36)
    found = centre_of_symmetry(ramp, Apertures(36.0, 36.0), 20.0)
    assert max(abs(found.y - 36), abs(found.x - 36)) < 8


def test_asymmetry_is_what_interpolation_gives():
    rng = np.random.default_rng(0)
    image = (blob(50, 50) + 0.1 * rng.random(X.shape)).astype(np.float32)
    centre = Apertures(45.35, 44.6)
    (top, left), weight = window(centre, RADIUS)
    cutout = cutout_of(image)
    y, x = np.mgrid[: len(weight), : len(weight)]
    places = [2 * centre.y - top - y, 2 * centre.x - left - x]
    turned = ndimage.map_coordinates(cutout.image, places, order=1)
    part = cutout.image[top : top + len(weight), left : left + len(weight)]
    expected = (weight * np.abs(part - turned)).sum() / (weight * np.abs(part)).sum()
    assert asymmetry(cutout, centre, RADIUS, 0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("side", [2, 3, 6, 7])
def test_fine_structure_is_what_a_boxcar_leaves(side):
    image = np.random.default_rng(side).normal(size=(41, 41)).astype(np.float32)
    expected = np.maximum(image - ndimage.uniform_filter(image, side), 0)
    np.testing.assert_allclose(fine_structure(image, 4 * side + 0.5), expected, atol=1e-5)
