"""What the learned priors share: units, unknown conditions, and what is hidden in training."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from galgen.priors.base import Posteriors
from galgen.priors.flow import LatentFlow
from galgen.priors.trained import TrainedPrior
from galgen.priors.two_stage import TwoStage
from galgen.training.prior_training import PriorTraining
from tests.priors.conftest import learn, trainer

NAN = math.nan


class Linear(TrainedPrior):
    """A Gaussian whose mean and log-scatter are linear in the context."""

    def __init__(self, latent_dim: int, **arguments):
        super().__init__(latent_dim, **arguments)
        self.layer = nn.Linear(self.context, 2 * latent_dim)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def cost(self, standardised, context):
        self.seen = context
        return -self._normal(context).log_prob(standardised).sum(dim=1)

    def make(self, noise, context):
        normal = self._normal(context)
        return normal.mean + normal.stddev * noise

    def _normal(self, context):
        mean, log_scatter = self.layer(context).chunk(2, dim=1)
        return Normal(mean, log_scatter.exp())


@pytest.fixture
def prior():
    prior = Linear(2, conditions=["a", "b"], required=1)
    prior.latent_shift[:], prior.latent_scale[:] = torch.tensor([1.0, -3]), torch.tensor([0.5, 20])
    prior.condition_shift[:] = torch.tensor([1.0, 22])
    prior.condition_scale[:] = torch.tensor([0.5, 2])
    return prior.requires_grad_(False)


def test_densities_and_latents_are_in_the_unit_of_the_latents(prior):
    latent = torch.randn(10, 2)
    normal = Normal(prior.latent_shift, prior.latent_scale)
    expected = normal.log_prob(latent).sum(dim=1)
    torch.testing.assert_close(prior.log_prob(latent, torch.ones(10, 2)), expected)
    made = prior(torch.ones(10, 2), torch.ones(10, 2))
    torch.testing.assert_close(made, torch.tensor([[1.5, 17.0]]).expand(10, 2))


def test_what_is_unknown_is_zero_and_marked_so(prior):
    conditions = torch.tensor([[2.0, 20.0], [0.5, NAN], [NAN, NAN]])
    prior.log_prob(torch.zeros(3, 2), conditions)
    assert prior.seen.tolist() == [[2, -1, 1, 1], [-1, 0, 1, 0], [0, 0, 0, 0]]
    prior.log_prob(torch.zeros(2, 2))
    assert prior.seen.tolist() == [[0, 0, 0, 0]] * 2


def test_conditions_are_standardised_by_those_that_are_known():
    prior = Linear(1, conditions=["a", "b", "c"])
    conditions = torch.tensor([[1.0, 0.7, NAN], [NAN, 0.7, 4], [5, 0.7, NAN], [3, 0.7, 6]])
    prior.standardise_by(torch.zeros(4, 1), torch.ones(4, 1), conditions)
    torch.testing.assert_close(prior.condition_shift, torch.tensor([3, 0.7, 5]))
    # The second is the same for all: at 0.8 it must not be a million deviations away.
    torch.testing.assert_close(prior.condition_scale, torch.tensor([math.sqrt(8 / 3), 1, 1]))


def test_a_collapsed_dimension_keeps_the_scatter_of_its_samples():
    prior = Linear(3, conditions=["a"])
    mean = torch.tensor([[0.0, 0, -1], [0, 0, 1]])
    prior.standardise_by(mean, torch.tensor([[1, 1e-30, 0.5]] * 2))
    assert prior.latent_scale[0] == 1
    assert prior.latent_scale[1] == pytest.approx(1e-6)
    assert prior.latent_scale[2] == pytest.approx(math.sqrt(2.25))


def test_training_hides_optional_conditions_and_never_the_required():
    torch.manual_seed(0)
    prior = Linear(1, conditions=["a", "b", "c"], required=1)
    n = 4000
    prior.training_cost([torch.zeros(n, 1), torch.ones(n, 1), torch.ones(n, 3)], None)
    required, *optional = prior.seen[:, 3:].T
    assert (required == 1).all()
    number = sum(optional)
    for known in (0, 1, 2):  # a share of one's own, uniform, makes them equally frequent
        assert (number == known).float().mean() == pytest.approx(1 / 3, abs=0.03)
    assert (optional[0] - optional[1]).mean() == pytest.approx(0, abs=0.04)


def test_what_is_unknown_stays_unknown_in_training(prior):
    conditions = torch.tensor([[1.0, NAN]]).repeat(50, 1)
    loss = prior.training_cost([torch.zeros(50, 2), torch.ones(50, 2), conditions], None)
    assert loss.isfinite()
    assert (prior.seen[:, 3] == 0).all()


def test_validation_costs_the_same_in_every_epoch_and_training_does_not(prior):
    batch = [torch.randn(50, 2), torch.ones(50, 2), torch.ones(50, 2)]
    training = PriorTraining(prior)
    training.log = lambda *_, **__: None  # which needs a trainer
    assert training.validation_step(batch, 3) == training.validation_step(batch, 3)
    assert training.validation_step(batch, 3) != training.validation_step(batch, 4)
    assert training.training_step(batch, 3) != training.training_step(batch, 3)


def test_it_learns_with_and_without_a_condition():
    """latent = condition + noise: both densities are Gaussians that are known."""
    torch.manual_seed(0)
    condition = 3 * torch.randn(4000, 1) + 20
    mean = condition + 0.5 * torch.randn(4000, 1)
    prior = Linear(1, conditions=["a"])
    std = torch.full_like(mean, 1.2)
    prior.standardise_by(mean, std, condition)
    learn(prior, mean, std, condition, steps=1500)
    latent = torch.linspace(19, 24.5, 8)[:, None]
    given = prior.log_prob(latent, torch.full((8, 1), 22.0))
    torch.testing.assert_close(given, Normal(22, 1.3).log_prob(latent)[:, 0], rtol=0, atol=0.2)
    alone = prior.log_prob(latent)
    expected = Normal(20, math.hypot(3, 1.3)).log_prob(latent)[:, 0]
    torch.testing.assert_close(alone, expected, rtol=0, atol=0.2)


@pytest.mark.parametrize("kind", [Linear, LatentFlow, TwoStage])
@pytest.mark.parametrize("required", [-1, 3])
def test_more_required_conditions_than_there_are(kind, required):
    with pytest.raises(ValueError, match=f"required={required}: there are 2"):
        kind(3, conditions=["a", "b"], required=required)


@pytest.mark.parametrize("latent_dim", [2, 3, 64])
@pytest.mark.parametrize("kind", [LatentFlow, TwoStage])
def test_every_size_of_latents_is_made_of_its_noise(kind, latent_dim):
    torch.manual_seed(0)
    prior = (
        kind(latent_dim, conditions=["a", "b"], required=1, width=8).eval().requires_grad_(False)
    )
    conditions = torch.tensor([[0.5, NAN]]).repeat(6, 1)
    latent = prior(torch.randn(6, prior.noise_dim), conditions)
    assert latent.shape == (6, latent_dim)
    assert prior.log_prob(latent, conditions).isfinite().all()


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 1}, {"max_epochs": 0}, {"patience": 0}, {"lr": 0}]
)
def test_settings_of_the_training_that_are_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Linear(2, **wrong)


def test_a_fit_keeps_the_best_weights_and_is_the_same_again():
    torch.manual_seed(0)
    mean = 5 + 2 * torch.randn(600, 1)
    train = Posteriors(mean[:400], 0 * mean[:400], mean[:400], mean.new_empty(400, 0))
    val = Posteriors(mean[400:], 0 * mean[400:], mean[400:], mean.new_empty(200, 0))
    fits = []
    for _ in range(2):
        torch.manual_seed(1)
        prior = Linear(1, batch_size=100, max_epochs=12, lr=0.02)
        prior.fit(train, val, 3, trainer)
        fits.append(prior.eval().requires_grad_(False))
    # The cost of a Gaussian's own samples is its entropy, about.
    cost = -fits[0].log_prob(val.sample).mean()
    assert float(cost) == pytest.approx(float(Normal(5.0, 2.0).entropy()), abs=0.1)
    for name, values in fits[0].state_dict().items():
        assert torch.equal(values, fits[1].state_dict()[name]), name


def test_a_likelihood_that_is_never_finite_is_said():
    bad = Posteriors(*[torch.full((40, 1), NAN)] * 3, torch.empty(40, 0))
    with pytest.raises(ValueError, match="never finite"):
        Linear(1, batch_size=20, max_epochs=2).fit(bad, bad, 0, trainer)
