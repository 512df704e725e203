"""The flow over latents: a density, a function of its noise, and it learns."""

import math

import pytest
import torch
from torch.distributions import Normal

from galgen.priors.base import Posteriors
from galgen.priors.flow import LatentFlow
from tests.priors.conftest import trainer


@pytest.fixture
def flow():
    torch.manual_seed(0)
    flow = LatentFlow(2, conditions=["a"], required=1, transforms=2, width=16)
    mean, std = torch.randn(500, 2) * 2 + 1, torch.full((500, 2), 0.5)
    flow.standardise_by(mean, std, torch.rand(500, 1))
    return flow.eval().requires_grad_(False)


def test_the_density_integrates_to_one(flow):
    side = torch.linspace(-15, 17, 400)
    latent = torch.cartesian_prod(side, side)
    density = flow.log_prob(latent, torch.full((len(latent), 1), 0.3)).exp()
    assert float(density.sum() * (side[1] - side[0]) ** 2) == pytest.approx(1, abs=1e-3)


def test_a_latent_is_a_function_of_its_noise_and_conditions(flow):
    noise, conditions = torch.randn(20, 2), torch.rand(20, 1)
    latent = flow(noise, conditions)
    torch.testing.assert_close(flow(noise[7:8], conditions[7:8]), latent[7:8])
    assert not torch.allclose(flow(noise, 1 - conditions), latent)
    back = (latent - flow.latent_shift) / flow.latent_scale
    back = flow._distribution(flow._context(conditions, 20)).transform(back)
    torch.testing.assert_close(back, noise, rtol=1e-3, atol=1e-3)


def test_latents_are_standardised_by_their_samples():
    mean = torch.tensor([[0.0, 3.0], [2.0, 3.0]])
    flow = LatentFlow(2)
    flow.standardise_by(mean, torch.tensor([[1.0, 0.5], [1.0, 0.5]]))
    assert flow.latent_shift.tolist() == [1, 3]
    torch.testing.assert_close(flow.latent_scale, torch.tensor([math.sqrt(3), 0.5]))


def test_it_learns_a_conditional_density():
    """A banana that moves with its condition; its entropy is known, as it is sheared noise."""
    torch.manual_seed(1)
    condition = torch.rand(4000, 1)
    first = torch.randn(4000, 1)
    second = 0.3 * torch.randn(4000, 1) + first**2 + 4 * condition
    mean = torch.cat([first, second], dim=1)
    flow = LatentFlow(
        2, conditions=["a"], required=1, transforms=3, width=32, lr=5e-3,
        batch_size=200, max_epochs=30,
    )  # fmt: skip
    data = Posteriors(mean, torch.zeros_like(mean), mean, condition)
    flow.fit(data, data, 0, trainer)
    entropy = Normal(0.0, 1.0).entropy() + Normal(0.0, 0.3).entropy()
    flow.eval().requires_grad_(False)
    nll = float(-flow.log_prob(mean, condition).mean())
    assert nll == pytest.approx(float(entropy), abs=0.25)  # of a Gaussian: 3.2
    drawn = flow(torch.randn(4000, 2), torch.full((4000, 1), 0.5))
    left = drawn[:, 1] - drawn[:, 0] ** 2 - 2
    assert left.median() == pytest.approx(0, abs=0.1)


def test_one_dimension_is_too_few():
    with pytest.raises(ValueError, match="2 or more"):
        LatentFlow(1)
