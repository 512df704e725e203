"""Scores against closed forms, and of samples that are alike or not."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from galgen.evaluation.two_samples import (
    c2st,
    frechet,
    kernel_distance,
    memorisation,
    neighbourhoods,
    wasserstein,
)

RNG = np.random.default_rng(0)


def normal(n, dimensions=3, shift=0.0, scale=1.0):
    return RNG.normal(shift, scale, (n, dimensions))


def test_wasserstein_of_a_shift_is_the_shift_in_units_of_the_scatter():
    real = RNG.normal(0, 2, 4000)
    score = wasserstein(real, real + 1.0)
    assert score.value == pytest.approx(1 / real.std(), rel=1e-6)
    assert score.low < score.value < score.high
    assert score.high - score.low < 0.05


def test_the_floor_of_wasserstein_is_that_of_real_samples_of_that_size():
    samples = RNG.normal(size=(60, 2, 1000))
    expected = np.mean([wasserstein_distance(*pair) for pair in samples])
    found = [wasserstein(one, two, seed).floor for seed, (one, two) in enumerate(samples)]
    assert np.mean(found) == pytest.approx(expected, rel=0.15)
    uneven = [wasserstein(one, two[:250], 1).floor for one, two in samples]
    small = [wasserstein_distance(one, two[:250]) for one, two in samples]
    assert np.mean(uneven) == pytest.approx(np.mean(small), rel=0.15)


def test_a_classifier_cannot_tell_alike_and_tells_apart():
    assert c2st(normal(600), normal(500)) == pytest.approx(0.5, abs=0.04)
    assert c2st(normal(600), normal(500, shift=5)) > 0.99
    # Best accuracy for unit Gaussians a distance d apart: the normal distribution at d / 2.
    assert c2st(normal(2000, 1), normal(2000, 1, shift=2)) == pytest.approx(0.841, abs=0.03)


def test_neighbourhoods_of_alike_of_far_and_of_narrow_samples():
    real = normal(1500)
    alike = neighbourhoods(real, normal(1500))
    assert min(alike["precision"], alike["recall"], alike["coverage"]) > 0.9
    assert alike["density"] == pytest.approx(1, abs=0.1)
    assert set(neighbourhoods(real, normal(1500, shift=30)).values()) == {0.0}
    narrow = neighbourhoods(real, normal(1500, scale=0.2))
    assert narrow["precision"] > 0.98
    assert narrow["recall"] < 0.3
    assert narrow["coverage"] < 0.5


def test_coverage_is_its_expectation():
    """For samples alike it is 1 - (M - 1)...(M - k) / (2 M - 1)...(2 M - k), Naeem et al. 2020."""
    n, k = 400, 5
    found = [neighbourhoods(normal(n), normal(n), k)["coverage"] for _ in range(8)]
    assert np.mean(found) == pytest.approx(1 - 0.5**k, abs=0.01)


def test_frechet_of_gaussians():
    real = normal(20_000, 2)
    assert frechet(real, real) == pytest.approx(0, abs=1e-6)
    assert frechet(real, real + np.array([3, 4])) == pytest.approx(25, rel=1e-6)
    assert frechet(real, 2 * real) == pytest.approx(2, rel=0.05)


def test_the_kernel_distance_by_hand():
    one, two = normal(7, 2), normal(5, 2, shift=1)

    def kernel(x, y):
        return (x @ y / 2 + 1) ** 3

    same = [
        np.mean([kernel(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j])
        for s in (one, two)
    ]
    cross = np.mean([kernel(x, y) for x in one for y in two])
    assert kernel_distance(one, two) == pytest.approx(sum(same) - 2 * cross)


def test_copies_are_memorised():
    training, held_out = normal(1000), normal(500)
    assert memorisation(training, training[:100], held_out) == 0
    assert memorisation(training, normal(500), held_out) == pytest.approx(1, abs=0.15)
    near = training[:300] + normal(300, scale=0.02)
    assert memorisation(training, near, held_out) < 0.3


def test_the_floor_does_not_depend_on_one_split():
    real = RNG.normal(size=2000)
    floors = [wasserstein(real, real[:1000], seed).floor for seed in range(8)]
    assert np.std(floors) < 0.15 * np.mean(floors)


def test_the_interval_holds_the_value():
    real, generated = RNG.normal(size=(2, 1500))
    score = wasserstein(real, generated)
    assert score.low <= score.value <= score.high


def test_a_constant_statistic_is_left_out_and_has_no_distance():
    real, generated = normal(400), normal(400)
    real[:, 1] = generated[:, 1] = 3.0
    found = neighbourhoods(real, generated)
    assert found == neighbourhoods(real[:, [0, 2]], generated[:, [0, 2]])
    assert np.isnan(wasserstein(real[:, 1], generated[:, 1]).value)


def test_coverage_does_not_grow_with_the_number_of_generated_galaxies():
    real, generated = normal(500, 6), normal(4000, 6)
    assert neighbourhoods(real, generated) == neighbourhoods(real, generated[:500])
