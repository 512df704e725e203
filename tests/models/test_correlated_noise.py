"""The likelihood of correlated noise against the exact density of small stamps."""

import math

import numpy as np
import pytest
import torch

from galgen.data.batch import Batch
from galgen.data.noise_correlation import draw_correlated
from galgen.data.surveys.cosmos_noise import noise_correlation
from galgen.models.correlated_noise import CorrelatedNoise
from galgen.models.likelihoods import NoiseAware

SIDE, N = 24, 200
COSMOS = noise_correlation()[None]


def covariance(correlation):
    """Return the covariance of all pixels of a stamp, (P, P), of variance 1."""
    y, x = (axis.ravel() for axis in np.mgrid[:SIDE, :SIDE])
    dy, dx = y[:, None] - y, x[:, None] - x
    reach = correlation.shape[1] // 2
    inside = (np.abs(dy) <= reach) & (np.abs(dx) <= reach)
    found = correlation[0, np.clip(dy, -reach, reach) + reach, np.clip(dx, -reach, reach) + reach]
    return np.where(inside, found, 0).astype(float) + 1e-6 * np.eye(len(y))


def exact(residual, matrix):
    """Return the negative log-density of residuals (N, P), nats."""
    root = np.linalg.cholesky(matrix)
    white = np.linalg.solve(root, residual.T)
    constant = np.log(np.diag(root)).sum() + 0.5 * len(root) * math.log(2 * math.pi)
    return 0.5 * (white**2).sum(axis=0) + constant


@pytest.fixture(scope="module")
def noise():
    return draw_correlated(COSMOS, N, SIDE, np.random.default_rng(0))


def batch(image, variance=1.0, **more):
    image = torch.as_tensor(image)
    more = {"noise_correlation": torch.from_numpy(COSMOS), **more}
    noise_variance = torch.full(image.shape[:2], variance)
    return Batch(image, torch.arange(len(image)), noise_variance=noise_variance, **more)


@pytest.mark.parametrize("relative_error", [0.0, 0.05])
def test_without_correlation_it_is_the_white_one(noise, relative_error):
    prediction = 10 * torch.rand(N, 1, SIDE, SIDE)
    delta = torch.zeros(1, 13, 13)
    delta[0, 6, 6] = 1
    given = batch(noise, 2.0, noise_correlation=delta)
    torch.testing.assert_close(
        CorrelatedNoise(relative_error)(prediction, given),
        NoiseAware(relative_error)(prediction, given),
        rtol=1e-5, atol=1e-3,
    )  # fmt: skip


def test_noise_costs_what_its_exact_density_says(noise):
    """To 0.2 % of the difference from white noise and its edges included."""
    variance = 4.0
    found = CorrelatedNoise()(torch.zeros(N, 1, SIDE, SIDE), batch(2 * noise, variance))
    known = exact(2 * noise.reshape(N, -1), variance * covariance(COSMOS))
    white = NoiseAware()(torch.zeros(N, 1, SIDE, SIDE), batch(2 * noise, variance))
    assert float(white.mean()) - known.mean() > 150
    assert float(found.mean()) - known.mean() == pytest.approx(0, abs=4)
    assert np.std(found.numpy() - known) < 5


def test_innovations_are_white_and_of_their_variance_at_the_edges_too(noise):
    innovation, variance = CorrelatedNoise().innovations(
        torch.zeros(N, 1, SIDE, SIDE), batch(noise)
    )
    chi2 = (innovation.square() / variance)[:, 0]
    tolerance = 5 * math.sqrt(2 / (N * SIDE))
    for edge in (chi2[:, 0], chi2[:, -1], chi2[:, :, 0], chi2[:, :, -1], chi2[:, 5]):
        assert float(edge.mean()) == pytest.approx(1, abs=tolerance)
    inner = innovation[:, 0, 3:, 3:-3] / variance[:, 0, 3:, 3:-3].sqrt()
    assert abs(float((inner[:, :, 1:] * inner[:, :, :-1]).mean())) < 0.02
    assert abs(float((inner[:, 1:] * inner[:, :-1]).mean())) < 0.02


def test_a_model_s_own_error_is_white_noise_beside_the_correlated_one(noise):
    """Bright pixels count by the relative error, as the exact density of both has it."""
    rng = np.random.default_rng(1)
    light = np.zeros((1, 1, SIDE, SIDE), np.float32)
    light[..., 6:18, 6:18] = np.exp(rng.normal(4, 1.5, (12, 12)))
    error = 0.05 * light * rng.standard_normal((N, 1, SIDE, SIDE)).astype(np.float32)
    prediction = torch.from_numpy(light).expand(N, -1, -1, -1)
    likelihood, given = CorrelatedNoise(0.05), batch(light + error + noise)
    innovation, variance = likelihood.innovations(prediction, given)
    chi2 = (innovation.square() / variance)[:, 0]
    assert float(chi2[:, 6:18, 6:18].mean()) == pytest.approx(1, abs=0.08)
    assert float(chi2[:, 18:].mean()) == pytest.approx(1, abs=0.05)
    matrix = covariance(COSMOS) + np.diag((0.05 * light.astype(float).ravel()) ** 2)
    known = exact((error + noise).reshape(N, -1).astype(float), matrix).mean()
    white = float(NoiseAware(0.05)(prediction, given).mean())
    found = float(likelihood(prediction, given).mean())
    assert known - 1 < found < known + 0.1 * (white - known)


def test_pixels_of_no_weight_do_not_count(noise):
    weight = torch.ones(N, 1, SIDE, SIDE)
    weight[..., 5:9, 10:20] = 0
    spoiled = torch.where(weight > 0, torch.from_numpy(noise), 1e4)
    masked = CorrelatedNoise()(torch.zeros_like(weight), batch(spoiled, weight=weight))
    keep = weight[0, 0].numpy().ravel() > 0
    known = exact(noise.reshape(N, -1)[:, keep], covariance(COSMOS)[np.ix_(keep, keep)])
    assert float(masked.mean()) == pytest.approx(known.mean(), abs=8)
    assert (
        NoiseAware()(torch.zeros_like(weight), batch(spoiled, weight=weight)).mean()
        > known.mean() + 100
    )


def test_a_survey_that_does_not_know_its_noise_is_refused(noise):
    with pytest.raises(ValueError, match="the correlation of the survey's noise"):
        CorrelatedNoise()(torch.zeros(N, 1, SIDE, SIDE), batch(noise, noise_correlation=None))
    with pytest.raises(ValueError, match="reach=0: it must be positive"):
        CorrelatedNoise(reach=0)
