"""Likelihoods against closed forms."""

from dataclasses import replace

import pytest
import torch
from torch.distributions import Normal

from galgen.data.batch import Batch
from galgen.models.likelihoods import Gaussian, LearnedSigma, NoiseAware, SquaredError

torch.manual_seed(0)
IMAGE, PREDICTION = torch.rand(5, 2, 6, 6), torch.rand(5, 2, 6, 6)
BATCH = Batch(image=IMAGE, index=torch.arange(5))
VARIANCE = torch.tensor([[0.01, 3], [0.1, 0.2], [1, 1], [10, 1], [1e-4, 1]])


def test_squared_error_sums_over_bands_and_pixels():
    expected = torch.stack([((IMAGE[i] - PREDICTION[i]) ** 2).sum() for i in range(5)])
    torch.testing.assert_close(SquaredError()(PREDICTION, BATCH), expected)


def test_gaussian_is_the_normal_density():
    expected = -Normal(PREDICTION, 0.3).log_prob(IMAGE).sum(dim=(1, 2, 3))
    torch.testing.assert_close(Gaussian(0.3)(PREDICTION, BATCH), expected)


@pytest.mark.parametrize("likelihood", [SquaredError(), Gaussian(0.3), LearnedSigma()])
def test_pixels_of_no_weight_do_not_count(likelihood):
    weight = torch.ones_like(IMAGE)
    weight[:, :, :2] = 0
    masked = IMAGE.clone()
    masked[:, :, :2] = 99.0
    batch = Batch(image=masked, index=torch.arange(5), weight=weight)
    rest = Batch(image=IMAGE[:, :, 2:], index=torch.arange(5))
    torch.testing.assert_close(
        likelihood.eval()(PREDICTION, batch), likelihood(PREDICTION[:, :, 2:], rest)
    )


def test_learned_sigma_is_the_best_gaussian_for_the_batch():
    learned = LearnedSigma()(PREDICTION, BATCH).mean()
    sigma = (IMAGE - PREDICTION).square().mean().sqrt().item()
    torch.testing.assert_close(learned, Gaussian(sigma)(PREDICTION, BATCH).mean())
    for other in (0.9 * sigma, 1.1 * sigma):
        assert Gaussian(other)(PREDICTION, BATCH).mean() > learned


def test_learned_sigma_has_the_gradient_of_the_profile_likelihood():
    prediction = PREDICTION.clone().requires_grad_()
    LearnedSigma()(prediction, BATCH).mean().backward()
    profile = PREDICTION.clone().requires_grad_()
    (72 / 2 * (profile - IMAGE).square().mean().log()).backward()
    torch.testing.assert_close(prediction.grad, profile.grad)


def test_learned_sigma_in_eval_mode_is_the_running_one():
    likelihood = LearnedSigma(momentum=0.5)
    likelihood(PREDICTION, BATCH)
    variance = (IMAGE - PREDICTION).square().mean()
    torch.testing.assert_close(likelihood.variance, variance)
    likelihood(IMAGE, BATCH)
    torch.testing.assert_close(likelihood.variance, variance / 2, rtol=1e-4, atol=1e-8)
    likelihood.eval()
    alone = Batch(image=IMAGE[:1], index=torch.arange(1))
    torch.testing.assert_close(likelihood(PREDICTION, BATCH)[:1], likelihood(PREDICTION[:1], alone))


@pytest.mark.parametrize("relative_error", [0.0, 0.3])
def test_misfit_is_0_for_the_truth_and_entropy_is_that_of_the_noise(relative_error):
    likelihood, n = NoiseAware(relative_error), 2000
    prediction = PREDICTION[:1].expand(n, -1, -1, -1)
    variance = torch.tensor([[0.01, 3.0]])
    scatter = variance[:, :, None, None] + (relative_error * prediction).square()
    noise = torch.randn(prediction.shape, generator=torch.Generator().manual_seed(1))
    image = prediction + scatter.sqrt() * noise
    batch = Batch(image, torch.arange(n), noise_variance=variance.expand(n, -1))
    misfit, entropy = likelihood.split(prediction, batch)
    assert abs(misfit.mean()) < 4 * (72 / 2 / n) ** 0.5  # 4 standard errors of half a chi²
    expected = Normal(0.0, scatter.sqrt()).entropy().sum(dim=(1, 2, 3))
    torch.testing.assert_close(entropy, expected)
    worse, _ = likelihood.split(prediction + 3 * scatter.sqrt(), batch)
    if not relative_error:  # each pixel misses by 3 sigma
        assert (worse - misfit).mean() == pytest.approx(72 * 9 / 2, rel=0.01)


def test_gaussian_refuses_a_sigma_of_zero():
    with pytest.raises(ValueError, match="sigma"):
        Gaussian(0.0)


def test_noise_aware_is_the_normal_density_of_each_stamps_own_noise():
    batch = replace(BATCH, noise_variance=VARIANCE)
    sigma = VARIANCE.sqrt()[:, :, None, None]
    expected = -Normal(PREDICTION, sigma).log_prob(IMAGE).sum(dim=(1, 2, 3))
    torch.testing.assert_close(NoiseAware()(PREDICTION, batch), expected)
    weight = torch.ones_like(IMAGE)
    weight[:, :, :2] = 0
    expected = -Normal(PREDICTION, sigma).log_prob(IMAGE)[:, :, 2:].sum(dim=(1, 2, 3))
    torch.testing.assert_close(NoiseAware()(PREDICTION, replace(batch, weight=weight)), expected)


def test_noise_that_is_not_known_is_asked_for():
    with pytest.raises(ValueError, match="needs the noise variance of every stamp"):
        NoiseAware()(PREDICTION, BATCH)


@pytest.mark.parametrize("relative_error", [0.0, 0.1])
def test_a_band_that_a_galaxy_lacks_does_not_count(relative_error):
    likelihood = NoiseAware(relative_error)
    weight = torch.ones_like(IMAGE)
    weight[2, 1] = 0
    variance = VARIANCE.clone()
    variance[2, 1] = 1.0  # as a survey gives it
    batch = Batch(IMAGE, torch.arange(5), noise_variance=variance, weight=weight)
    one = Batch(IMAGE[2:3, :1], torch.arange(1), noise_variance=variance[2:3, :1])
    torch.testing.assert_close(
        likelihood(PREDICTION, batch)[2:3], likelihood(PREDICTION[2:3, :1], one)
    )
