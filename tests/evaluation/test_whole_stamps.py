"""Sizes against closed forms."""

import numpy as np
import pytest

from galgen.evaluation.morphology.whole_stamps import half_light_radius

Y, X = np.mgrid[:101, :101]


def blob(width, y=50, x=50, power=2):
    """A circular galaxy exp(-(r / width)^power)."""
    return np.exp(-((np.hypot(Y - y, X - x) / width) ** power))


@pytest.mark.parametrize("sigma", [1.5, 3, 6, 12])
def test_half_of_a_gaussian_lies_within_1_1774_sigma(sigma):
    images = np.array([blob(np.sqrt(2) * sigma), 7 * blob(np.sqrt(2) * sigma, 47.3, 52.8)])
    np.testing.assert_allclose(half_light_radius(images), 1.17741 * sigma, rtol=0.06 / sigma)


@pytest.mark.parametrize("scale", [2, 4, 7])
def test_half_of_an_exponential_disc_lies_within_1_678_scale_lengths(scale):
    radius = half_light_radius(blob(scale, power=1)[None])
    np.testing.assert_allclose(radius, 1.678347 * scale, rtol=0.03)


def test_a_galaxy_does_not_depend_on_its_neighbours_in_the_array():
    images = np.array([blob(w) for w in np.linspace(2, 20, 16)], np.float32)
    together = half_light_radius(images)
    alone = np.concatenate([half_light_radius(image[None]) for image in images])
    np.testing.assert_array_equal(together, alone)
    assert (np.diff(together) > 0).all()


def test_a_stamp_without_light_has_no_size():
    images = np.zeros((3, 9, 9))
    images[1, 4, 4] = 1
    images[2] = -1
    radius = half_light_radius(images)
    assert np.isnan(radius[[0, 2]]).all()
    assert radius[1] == pytest.approx(0.5, abs=0.25)
