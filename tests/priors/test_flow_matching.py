"""Flow matching: a function of its noise, a density, and it learns."""

import numpy as np
import pytest
import torch
from scipy import stats

from galgen.priors.base import Posteriors
from galgen.priors.flow_matching import FlowMatching
from galgen.priors.velocity import Velocity
from tests.priors.conftest import trainer


def rows(latent, conditions=None):
    if conditions is None:
        conditions = latent.new_empty(len(latent), 0)
    return Posteriors(latent, torch.zeros_like(latent), latent, conditions)


def moved(n, seed):
    """Two latents whose mean and scatter go with a condition that half the galaxies lack."""
    torch.manual_seed(seed)
    condition = torch.rand(n, 1)
    latent = torch.cat([4 * condition, torch.zeros(n, 1)], dim=1)
    latent += torch.randn(n, 2) * torch.cat([0.3 + condition, 0.5 * torch.ones(n, 1)], dim=1)
    return latent, condition


@pytest.fixture(scope="module")
def learned():
    torch.manual_seed(0)
    prior = FlowMatching(
        2, conditions=["a"], steps=8, width=32, depth=1, heads=2,
        batch_size=128, max_epochs=50, lr=4e-3,
    )  # fmt: skip
    prior.fit(rows(*moved(4000, 1)), rows(*moved(1000, 2)), 0, trainer)
    return prior.eval().requires_grad_(False)


def test_it_learns_a_conditional_distribution(learned):
    noise = torch.randn(4000, 2, generator=torch.Generator().manual_seed(5))
    for condition in (0.2, 0.8):
        drawn = learned(noise, torch.full((4000, 1), condition))
        assert float(drawn[:, 0].mean()) == pytest.approx(4 * condition, abs=0.15)
        assert float(drawn[:, 0].std()) == pytest.approx(0.3 + condition, rel=0.15)
        assert float(drawn[:, 1].std()) == pytest.approx(0.5, rel=0.15)
    free = learned(noise)
    whole, _ = moved(4000, 3)
    assert stats.wasserstein_distance(free[:, 0], whole[:, 0]) < 0.15


def test_a_latent_is_a_function_of_its_noise_and_conditions(learned):
    noise, conditions = torch.randn(20, 2), torch.rand(20, 1)
    latent = learned(noise, conditions)
    torch.testing.assert_close(learned(noise[7:8], conditions[7:8]), latent[7:8])
    assert not torch.allclose(learned(noise, 1 - conditions), latent)


def test_its_density_is_that_of_what_it_draws(learned):
    """In two dimensions, on a grid: it integrates to one and has the moments of its draws."""
    side = torch.linspace(-4, 8, 50)
    grid = torch.cartesian_prod(side, side)
    probes = [learned_density(learned, grid, seed) for seed in range(4)]
    density = torch.stack(probes).mean(dim=0) * float(side[1] - side[0]) ** 2
    assert float(density.sum()) == pytest.approx(1, abs=0.1)
    drawn = learned(torch.randn(4000, 2), torch.full((4000, 1), 0.5))
    assert float((density[:, None] * grid).sum(0)[0]) == pytest.approx(
        float(drawn[:, 0].mean()), abs=0.2
    )


def learned_density(prior, grid, seed):
    """Return the density with one direction of the estimator at each point, by seed."""
    order = torch.randperm(len(grid), generator=torch.Generator().manual_seed(seed))
    density = prior.log_prob(grid[order], torch.full((len(grid), 1), 0.5)).exp()
    return torch.empty_like(density).index_put((order,), density)


@pytest.mark.parametrize("shape", [(2, 2, 2), (1, 2, 2), None])
def test_an_untrained_one_is_the_normal_distribution(shape):
    prior = FlowMatching(8, latent_shape=shape, width=16, depth=1, heads=2)
    noise = torch.randn(50, 8)
    torch.testing.assert_close(prior(noise), noise)
    expected = torch.distributions.Normal(0, 1).log_prob(noise).sum(dim=1)
    torch.testing.assert_close(prior.log_prob(noise), expected)


class Growth(torch.nn.Module):
    """A velocity whose paths have a closed form: they grow by exp(1.5)."""

    def forward(self, latent, angle, context):
        share = angle[:, None] / (np.pi / 2)
        return latent * (1 + share) / (np.pi / 2)


def test_the_solver_is_of_second_order():
    errors = []
    for steps in (10, 20, 40):
        prior = FlowMatching(2, steps=steps)
        prior.velocity = Growth()
        made = prior.make(torch.ones(1, 2), torch.zeros(1, 0))
        errors.append(float(made[0, 0] / np.exp(1.5) - 1))
    assert abs(errors[0]) < 0.03
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.15)


@torch.no_grad()
def test_a_map_and_a_vector_come_back_where_they_were():
    network = Velocity((3, 4, 6), vector=5, context=0, patch=2, width=16, depth=1, heads=2)
    layers = (network.enter_map, network.leave_map, network.enter_vector, network.leave_vector)
    for layer in layers:
        torch.nn.init.eye_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    latent = torch.arange(2 * 77.0).reshape(2, 77)
    tokens = network._tokens(latent)
    assert tokens.shape == (2, 7, 16)
    torch.testing.assert_close(network._latent(tokens), latent)
    first = latent[:, :72].reshape(2, 3, 4, 6)[:, :, :2, :2].flatten(1)
    torch.testing.assert_close(tokens[:, 0, :12], first)
    torch.testing.assert_close(tokens[:, 6, :5], latent[:, 72:])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"steps": 0}, "steps=0"),
        ({"latent_shape": (2, 3, 3), "patch": 2}, "patch=2: it must divide"),
        ({"width": 30, "heads": 4}, "multiple of twice the heads"),
    ],
)
def test_bad_arguments_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        FlowMatching(18, **arguments)


def test_the_fitted_one_keeps_the_averaged_weights_alone(learned):
    assert not [name for name in learned.state_dict() if name.startswith("average")]
    assert np.isfinite(learned.velocity.leave_vector.weight.numpy()).all()
