"""Moments against numpy."""

import numpy as np

from galgen.evaluation.morphology.galaxy import second_moments


def test_second_moments_are_weighted_means():
    rng = np.random.default_rng(0)
    y, x = rng.integers(0, 50, (2, 300))
    light = rng.random(300, np.float32)
    centroid, covariance = second_moments(y, x, light)
    np.testing.assert_allclose(centroid, np.average([y, x], axis=1, weights=light))
    np.testing.assert_allclose(covariance, np.cov(y, x, aweights=light, ddof=0), rtol=1e-5)
