"""Scores of known distributions are brought to N(0, 1), and what is normal stays."""

import numpy as np
import pytest
from scipy.stats import kstest, norm

from galgen.priors.recalibration import UNCHANGED, recalibrated, recalibration

SCORES = np.random.default_rng(0).standard_normal(4000)


def test_unchanged_scores_are_unchanged():
    np.testing.assert_allclose(recalibrated(SCORES, UNCHANGED), SCORES, rtol=1e-12)


def test_normal_scores_get_a_scale_alone():
    found = recalibration(0.8 * SCORES)
    assert found[[0, 2, 3]].tolist() == [0, 0, 0]
    assert np.exp(found[1]) == pytest.approx(0.8, rel=0.03)


@pytest.mark.parametrize(("skewness", "tails"), [(0.3, 1.0), (0.0, 0.7), (-0.2, 1.3)])
def test_the_inverse_of_a_known_transform_is_found(skewness, tails):
    # Jones & Pewsey's own distribution: sinh((asinh(z) + skewness) / tails) of normal z.
    bent = np.sinh((np.arcsinh(SCORES) + skewness) / tails)
    found = recalibration(bent)
    np.testing.assert_allclose(found, [0, 0, skewness, np.log(tails)], atol=0.15)
    assert kstest(norm.cdf(recalibrated(bent, found)), "uniform").pvalue > 0.2
    assert kstest(norm.cdf(bent / bent.std()), "uniform").pvalue < 1e-3


@pytest.mark.parametrize("n", [0, 1, 3, 8, 19])
def test_a_few_scores_change_nothing(n):
    assert recalibration(3 * SCORES[:n]).tolist() == list(UNCHANGED)


def test_some_scores_give_a_scale_and_no_shape():
    found = recalibration(np.sinh(2 * SCORES[:60]))
    assert found[[0, 2, 3]].tolist() == [0, 0, 0]
    assert (recalibration(np.zeros(500)) == UNCHANGED).all()


def test_the_order_of_scores_is_kept_to_the_ends():
    line = np.array([-np.inf, -8.0, -1.0, 0.0, 1.0, 8.0, np.inf])
    found = recalibrated(line, np.array([0.1, -0.2, 0.3, -0.4]))
    assert (np.diff(found) > 0).all()
    assert np.isinf(found[[0, -1]]).all()
