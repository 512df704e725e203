"""Reconstruction and evidence, of models for which both are known in closed form."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch.distributions import Normal

from galgen.data.batch import Batch
from galgen.evaluation.likelihood import evidence, reconstruction
from galgen.models.beta_schedules import Constant
from galgen.models.likelihoods import Gaussian, NoiseAware, SquaredError
from galgen.priors.normal import StandardNormal

SIDE, N, SIGMA = 4, 70, 0.5
GENERATOR = torch.Generator().manual_seed(0)
WEIGHTS = torch.linalg.qr(torch.randn(SIDE**2, 2, generator=GENERATOR))[0] * torch.tensor(
    [3.0, 1.0]
)


class Linear:
    """Probabilistic PCA with its exact posterior: images are WEIGHTS @ latent + noise."""

    conditional, device = False, torch.device("cpu")

    def __init__(self, likelihood, beta=1.0):
        self.likelihood, self.beta_schedule = likelihood, Constant(beta)

    def encode(self, image, redshift=None):
        precision = 1 + WEIGHTS.square().sum(dim=0) / SIGMA**2
        mean = image.flatten(1) @ WEIGHTS / SIGMA**2 / precision
        return Normal(mean, precision.rsqrt().expand_as(mean))

    def encode_batch(self, batch):
        return self.encode(batch.image)

    def decode(self, latent, redshift=None):
        return (latent @ WEIGHTS.T).reshape(-1, 1, SIDE, SIDE)

    def observe(self, light, batch):
        return light

    def reconstruct(self, batch):
        return self.decode(self.encode(batch.image).mean)


def linear_run(likelihood, beta=1.0, noise_variance=None):
    latent = torch.randn(N, 2, generator=GENERATOR)
    image = (latent @ WEIGHTS.T).reshape(N, 1, SIDE, SIDE)
    image = image + SIGMA * torch.randn(image.shape, generator=GENERATOR)
    variance = None if noise_variance is None else torch.full((N, 1), noise_variance)

    def batch(part, rows):
        assert part == "test"
        rows = torch.from_numpy(rows)
        known = None if variance is None else variance[rows]
        return Batch(image[rows], rows, noise_variance=known)

    part = SimpleNamespace(rows=np.arange(N))
    columns = {"magnitude": np.linspace(21, 25, N)}
    correlation = np.array([[[0.0, 0.1, 0.0], [0.2, 1.0, 0.2], [0.0, 0.1, 0.0]]])
    stamps = SimpleNamespace(columns=columns, by_galaxy=columns.get, noise_correlation=correlation)
    survey = SimpleNamespace(batch=batch, parts={"test": part}, stamps=stamps)
    run = SimpleNamespace(model=Linear(likelihood, beta), survey=survey, unit="counts/s")
    run.on_device = lambda batch: batch
    run.priors = {"normal": StandardNormal(2)}
    return run, image.flatten(1).numpy()


@pytest.mark.parametrize(
    ("likelihood", "beta", "variance"),
    [
        (Gaussian(SIGMA), 1.0, None),
        (NoiseAware(), 1.0, SIGMA**2),
        (SquaredError(), 2 * SIGMA**2, None),  # as a likelihood, its variance is beta / 2
    ],
)
def test_evidence_is_exact_where_the_posterior_is(likelihood, beta, variance):
    run, pixels = linear_run(likelihood, beta, variance)
    covariance = (WEIGHTS @ WEIGHTS.T).numpy() + SIGMA**2 * np.eye(SIDE**2)
    exact = multivariate_normal(np.zeros(SIDE**2), covariance).logpdf(pixels).mean()
    found = evidence(run, np.arange(N), ["normal"], draws=3)
    assert found["log_likelihood_normal"] == pytest.approx(exact, rel=1e-4)
    assert found["elbo"] == pytest.approx(exact, rel=1e-4)


def test_a_better_prior_has_more_evidence():
    run, _ = linear_run(Gaussian(SIGMA))
    wide = SimpleNamespace(
        conditions=[],
        log_prob=lambda latent, _: Normal(0.0, 3.0).log_prob(latent).sum(dim=1),
    )
    run.priors["flow"] = wide
    found = evidence(run, np.arange(N), ["normal", "flow"])
    assert found["log_likelihood_normal"] > found["log_likelihood_flow"] + 0.5


@pytest.mark.parametrize("redshift", [None, torch.linspace(0.1, 2, N)])
def test_a_prior_may_know_the_redshift_that_the_model_does_not(redshift):
    """It is NaN to the prior where the survey does not know it."""
    run, _ = linear_run(Gaussian(SIGMA))
    given = []

    def log_prob(latent, columns):
        given.append(columns)
        return Normal(0.0, 1.0).log_prob(latent).sum(dim=1)

    run.priors["flow"] = SimpleNamespace(conditions=["magnitude", "redshift"], log_prob=log_prob)
    batch = run.survey.batch
    run.survey.batch = lambda part, rows: replace(
        batch(part, rows), redshift=None if redshift is None else redshift[torch.from_numpy(rows)]
    )
    found = evidence(run, np.arange(N), ["normal", "flow"], draws=1)
    assert found["log_likelihood_flow"] == pytest.approx(found["log_likelihood_normal"])
    magnitudes, redshifts = torch.cat(given).unbind(dim=1)
    assert magnitudes.isnan().all()
    assert redshifts.isnan().all() if redshift is None else torch.equal(redshifts, redshift)


def test_a_squared_error_with_beta_0_has_no_evidence():
    assert evidence(linear_run(SquaredError(), 0.0)[0], np.arange(N), ["normal"]) == {}


def test_residuals_of_the_right_model_are_the_noise():
    run, pixels = linear_run(NoiseAware(), noise_variance=SIGMA**2)
    found = reconstruction(run, np.arange(N))
    # Two of the sixteen dimensions are fitted, shrunk by the posterior.
    assert found["reduced_chi2"] == pytest.approx(14 / 16, abs=0.06)
    assert found["squared_error_per_pixel"] == pytest.approx(found["reduced_chi2"] * SIGMA**2)
    assert found["squared_error_of_zero_per_pixel"] == pytest.approx((pixels**2).mean(), rel=1e-5)
    assert abs(found["residual_correlation"]) < 0.15
    assert abs(found["residual_correlation_median"]) < 0.3
    assert found["noise_correlation"] == 0.2  # with the next pixel of the row
    bins = [name for name in found if name.startswith("reduced_chi2_mag")]
    assert len(bins) == 4


def test_without_noise_variance_there_is_no_chi2():
    assert "reduced_chi2" not in reconstruction(linear_run(Gaussian(SIGMA))[0], np.arange(N))


def test_a_squared_error_counts_the_pixels_that_a_gaussian_counts():
    found = []
    for likelihood, beta in ((SquaredError(), 2 * SIGMA**2), (Gaussian(SIGMA), 1.0)):
        GENERATOR.manual_seed(1)
        run, _ = linear_run(likelihood, beta)
        whole = run.survey.batch
        weight = (torch.arange(N * SIDE**2) % 3 > 0).float().reshape(N, 1, SIDE, SIDE)
        run.survey.batch = lambda part, rows, whole=whole, weight=weight: replace(
            whole(part, rows), weight=weight[rows]
        )
        found.append(evidence(run, np.arange(N), ["normal"]))
    assert found[0] == pytest.approx(found[1], rel=1e-4)
