"""The mixture of Gaussians against scipy, sklearn and the conditional Gaussian's closed form."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture as Reference

from galgen.priors.base import Posteriors
from galgen.priors.mixture import GaussianMixture

D, K = 3, 4


@pytest.fixture
def joint():
    """Return weights, means and covariances of a mixture of three latents and two conditions."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(K, D + 2, D + 2))
    return (
        rng.dirichlet(np.ones(K)),
        2 * rng.normal(size=(K, D + 2)),
        root @ root.mT + np.eye(D + 2),
    )


@pytest.fixture
def mixture(joint):
    mixture = GaussianMixture(D, conditions=["a", "b", "c"], required=2, components=K)
    buffers = (mixture.log_weight, mixture.mean, mixture.covariance)
    for buffer, values in zip(buffers, (np.log(joint[0]), *joint[1:]), strict=True):
        buffer.copy_(torch.from_numpy(values))
    return mixture


def fit(mixture: GaussianMixture, latent, conditions, seed: int = 0) -> None:
    samples = Posteriors(latent, torch.zeros_like(latent), latent, conditions)
    mixture.fit(samples, samples, seed, None)


def density(weights, means, covariances, points):
    """Return the log-density of a mixture at points, as scipy has it."""
    each = [
        np.log(w) + multivariate_normal(m, c).logpdf(points)
        for w, m, c in zip(weights, means, covariances, strict=True)
    ]
    return logsumexp(each, axis=0)


def given(weights, means, covariances, condition):
    """Return the mixture of the first D numbers that the last ones leave (Bishop, eq. 2.81-82)."""
    marginal = [
        np.log(w) + multivariate_normal(m[D:], c[D:, D:]).logpdf(condition)
        for w, m, c in zip(weights, means, covariances, strict=True)
    ]
    gain = [c[:D, D:] @ np.linalg.inv(c[D:, D:]) for c in covariances]
    left = [c[:D, :D] - g @ c[D:, :D] for c, g in zip(covariances, gain, strict=True)]
    moved = [m[:D] + g @ (condition - m[D:]) for m, g in zip(means, gain, strict=True)]
    return np.exp(marginal - logsumexp(marginal)), np.array(moved), np.array(left)


def test_the_conditional_density_is_the_joint_over_the_marginal(mixture, joint):
    rng = np.random.default_rng(1)
    points = 3 * rng.normal(size=(50, D + 2))
    weights, means, covariances = joint
    expected = density(*joint, points)
    expected -= density(weights, means[:, D:], covariances[:, D:, D:], points[:, D:])
    conditions = torch.tensor(np.hstack([points[:, D:], np.full((50, 1), np.nan)])).float()
    found = mixture.log_prob(torch.tensor(points[:, :D]).float(), conditions)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_samples_have_the_moments_of_the_conditional_mixture(mixture, joint):
    condition = np.array([0.5, -1.0])
    weights, means, covariances = given(*joint, condition)
    assert 0.02 < weights.max() < 0.98  # more than one component counts
    noise = torch.randn(100_000, D + 1, generator=torch.Generator().manual_seed(0))
    sample = mixture(noise, torch.tensor([[*condition, 99.0]]).float().expand(100_000, -1)).numpy()
    mean = weights @ means
    away = means - mean
    covariance = np.einsum("k,kij->ij", weights, covariances + away[:, :, None] * away[:, None])
    np.testing.assert_allclose(sample.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(sample.T), covariance, rtol=0.03, atol=0.1)


def test_without_conditions_it_is_the_mixture_that_sklearn_fits():
    rng = np.random.default_rng(2)
    clusters = rng.normal(size=(300, 2)) * [1, 50] + rng.choice([-4, 4], (300, 1))
    mixture = GaussianMixture(2, conditions=["a"], components=3)
    latent = torch.from_numpy(clusters).float()
    fit(mixture, latent, torch.full((300, 1), math.nan), seed=5)
    shift, scale = clusters.mean(axis=0), clusters.std(axis=0, ddof=1)
    reference = Reference(3, reg_covar=1e-4, max_iter=200, random_state=5)
    standardised = (latent.double().numpy() - shift) / scale
    expected = reference.fit(standardised).score_samples(standardised) - np.log(scale).sum()
    np.testing.assert_allclose(mixture.log_prob(latent), expected, rtol=1e-3, atol=1e-3)


def test_the_last_number_chooses_the_component_by_its_weight():
    mixture = GaussianMixture(1, components=3)
    mixture.mean[:] = torch.tensor([[-100.0], [0], [100]])
    mixture.log_weight[:] = torch.tensor([0.2, 0.5, 0.3]).log()
    chance = (torch.arange(1000) + 0.5) / 1000
    noise = torch.stack([torch.zeros(1000), torch.special.ndtri(chance)], dim=1)
    made = mixture(noise)[:, 0]
    assert torch.equal(made, made.sort().values)
    assert [int((made == at).sum()) for at in (-100, 0, 100)] == [200, 500, 300]
    extreme = mixture(torch.tensor([[0.0, -9], [0, 9]]))[:, 0]
    assert extreme.tolist() == [-100, 100]


def test_latents_follow_their_condition_after_a_fit():
    rng = np.random.default_rng(3)
    condition = rng.uniform(0, 3, (2000, 1))
    latent = np.hstack([2 * condition, -condition]) + 0.1 * rng.normal(size=(2000, 2))
    mixture = GaussianMixture(2, conditions=["a"], required=1, components=4)
    fit(mixture, torch.from_numpy(latent).float(), torch.from_numpy(condition).float())
    for at in (0.5, 2.5):
        made = mixture(torch.randn(2000, 3), torch.full((2000, 1), at))
        torch.testing.assert_close(made.mean(dim=0), torch.tensor([2 * at, -at]), rtol=0, atol=0.06)
        assert made.std(dim=0).max() < 0.2


def test_a_dimension_without_scatter_and_many_dimensions_can_be_fitted():
    torch.manual_seed(0)
    latent = torch.randn(200, 64)
    latent[:, 7] = 3.0
    mixture = GaussianMixture(64, conditions=["a"], required=1, components=8)
    fit(mixture, latent, torch.full((200, 1), 0.5))
    made = mixture(torch.randn(10, 65), torch.full((10, 1), 0.5))
    assert made.isfinite().all()
    torch.testing.assert_close(made[:, 7], torch.full((10,), 3.0))
    assert mixture.log_prob(latent, torch.full((200, 1), 0.5)).isfinite().all()


def test_any_seed_starts_a_fit_and_the_same_gives_the_same():
    latent = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    fits = []
    for seed in (2**62, 2**62, 1):
        mixture = GaussianMixture(2, components=5)
        fit(mixture, latent, torch.empty(40, 0), seed)
        fits.append(mixture.mean)
    assert torch.equal(fits[0], fits[1])
    assert not torch.equal(fits[0], fits[2])


def test_too_few_samples_and_no_components_are_refused():
    for n, components in ((9, 10), (1, 1)):
        mixture = GaussianMixture(2, components=components)
        with pytest.raises(ValueError, match=f"components={components}: .* {n} samples"):
            fit(mixture, torch.randn(n, 2), torch.empty(n, 0))
    with pytest.raises(ValueError, match="components=0"):
        GaussianMixture(2, components=0)
