"""The second VAE: where it is linear, its density and its samples are Gaussians that are known."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from galgen.priors.two_stage import TwoStage
from tests.priors.conftest import learn

GAIN, BIAS, SIGMA = torch.tensor([2.0, 0.5]), torch.tensor([1.0, -1.0]), 0.3
"""latent = GAIN * second latent + BIAS + SIGMA * noise."""
EXACT = MultivariateNormal(BIAS, torch.diag(GAIN**2 + SIGMA**2))


@pytest.fixture
def linear():
    """Return a linear second VAE whose encoder gives the exact posterior."""
    prior = TwoStage(2)
    prior.decoder, prior.encoder = nn.Linear(2, 2), nn.Linear(2, 4)
    variance = SIGMA**2 / (GAIN**2 + SIGMA**2)
    slope = GAIN / (GAIN**2 + SIGMA**2)
    with torch.no_grad():
        prior.log_sigma.fill_(math.log(SIGMA))
        prior.decoder.weight.copy_(torch.diag(GAIN))
        prior.decoder.bias.copy_(BIAS)
        prior.encoder.weight.copy_(torch.cat([torch.diag(slope), torch.zeros(2, 2)]))
        prior.encoder.bias.copy_(torch.cat([-slope * BIAS, variance.log()]))
    torch.manual_seed(0)
    return prior.eval().requires_grad_(False)


def bound(prior: TwoStage, latent: torch.Tensor) -> torch.Tensor:
    """Average the bound of latents over many second latents."""
    return torch.stack([prior.log_prob(latent) for _ in range(4000)]).mean(dim=0)


def test_the_bound_is_the_density_where_the_posterior_is_exact_and_below_elsewhere(linear):
    latent = torch.tensor([[1.0, -1], [3, -0.5], [-4, 0.8]])
    exact = EXACT.log_prob(latent)
    torch.testing.assert_close(bound(linear, latent), exact, rtol=0, atol=0.06)
    linear.encoder.bias[2:] += 1  # the posterior is too wide
    # KL of two Gaussians of the same mean: (e - 1 - 1) / 2 in each of two dimensions.
    torch.testing.assert_close(bound(linear, latent), exact - (math.e - 2), rtol=0, atol=0.1)


def test_samples_have_the_moments_of_the_gaussian_in_the_unit_of_the_latents(linear):
    shift, scale = torch.tensor([5.0, 0]), torch.tensor([10.0, 1])
    linear.latent_shift.copy_(shift)
    linear.latent_scale.copy_(scale)
    made = linear(torch.randn(100_000, linear.noise_dim))
    torch.testing.assert_close(made.mean(dim=0), BIAS * scale + shift, rtol=0.02, atol=0.02)
    expected = scale[:, None] * EXACT.covariance_matrix * scale
    torch.testing.assert_close(made.T.cov(), expected, rtol=0.03, atol=0.1)


def test_both_halves_of_the_noise_count(linear):
    noise = torch.zeros(1, 4)
    torch.testing.assert_close(linear(noise)[0], BIAS)
    torch.testing.assert_close(linear(noise + torch.tensor([1.0, 1, 0, 0]))[0], BIAS + GAIN)
    torch.testing.assert_close(linear(noise + torch.tensor([0, 0, 1.0, 1]))[0], BIAS + SIGMA)


def test_it_learns_latents_that_lie_on_a_curve_moved_by_their_condition():
    torch.manual_seed(0)
    condition = torch.rand(2000, 1)
    angle = 3 * torch.randn(2000, 1).clamp(-2, 2) / 2
    mean = torch.cat([angle.cos() + 2 * condition, angle.sin()], dim=1)
    std = torch.full_like(mean, 0.02)
    prior = TwoStage(2, width=32, conditions=["a"], required=1)
    prior.standardise_by(mean, std, condition)
    learn(prior, mean, std, condition, steps=1200, lr=5e-3)
    made = prior(torch.randn(2000, 4), torch.full((2000, 1), 0.75)) - torch.tensor([1.5, 0])
    radius = made.norm(dim=1)
    assert radius.median() == pytest.approx(1, abs=0.1)
    assert radius.std() < 0.3  # of a Gaussian of the same covariance: 0.4 and more
    assert prior.log_sigma.exp() < 0.2


def test_one_dimension_will_do_and_no_width_will_not():
    prior = TwoStage(1, width=4).requires_grad_(False)
    assert prior(torch.randn(3, 2)).shape == (3, 1)
    assert prior.log_prob(torch.randn(3, 1)).shape == (3,)
    with pytest.raises(ValueError, match="width=0"):
        TwoStage(3, width=0)
