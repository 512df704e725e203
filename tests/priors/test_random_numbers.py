"""Random numbers of galaxies."""

import numpy as np
import pytest
from scipy.stats import kstest

from galgen.priors.random_numbers import LARGEST_SEED, LATENT, REDSHIFT, uniform


def test_a_galaxy_has_its_numbers_wherever_the_count_begins():
    many = uniform(3, LATENT, 0, 50, 7)
    np.testing.assert_array_equal(uniform(3, LATENT, 17, 5, 7), many[17:22])
    far = uniform(3, LATENT, 10**12, 3, 7)
    np.testing.assert_array_equal(uniform(3, LATENT, 10**12 + 2, 1, 7), far[2:])


def test_numbers_are_uniform_and_differ_between_seeds_and_streams():
    numbers = [uniform(*key, 0, 2000, 5).ravel() for key in ((1, LATENT), (2, LATENT), (1, 1))]
    for values in numbers:
        assert kstest(values, "uniform").pvalue > 0.001
    assert np.abs(np.corrcoef(numbers) - np.eye(3)).max() < 0.04
    assert min(map(np.min, numbers)) > 0


def test_the_latents_of_earlier_versions_are_kept():
    expected = np.random.Philox(key=5).random_raw(8).reshape(2, 4)[:, :3]
    np.testing.assert_array_equal(uniform(5, LATENT, 0, 2, 3), ((expected >> 11) + 0.5) / 2**53)


@pytest.mark.parametrize("bad", [(-1, 0, 1), (LARGEST_SEED + 1, 0, 1), (0, -1, 1), (0, 0, -1)])
def test_numbers_out_of_range(bad):
    seed, start, n = bad
    with pytest.raises(ValueError, match=r"seed|start at 0"):
        uniform(seed, REDSHIFT, start, n, 1)
