"""Models computed as one against the same models computed one after another."""

from copy import deepcopy

import pytest
import torch

from galgen.config import instantiate
from galgen.data.parts import Batch
from galgen.models.stack import Step, compute
from tests.models.test_models import MODELS

LIKELIHOODS = ("squared_error", "gaussian", "learned_sigma", "noise_aware")
BETAS = (0.1, 0.5, 1.0)


def steps_of(models: list) -> list[Step]:
    """Give each model a batch of its own."""
    steps = []
    for seed, (model, beta) in enumerate(zip(models, BETAS, strict=True)):
        numbers = torch.Generator().manual_seed(seed)
        batch = Batch(
            image=torch.rand(5, 32, 32, generator=numbers),
            index=torch.arange(5),
            redshift=torch.rand(5, generator=numbers),
            noise_variance=torch.rand(5, generator=numbers) + 0.1,
        )
        steps.append(Step(model, batch, beta, torch.randn(5, 3, generator=numbers)))
    return steps


def models_of(composed, name: str, *overrides: str) -> list:
    config = composed(
        f"model={name}", "data.image_size=32", "model.image_size=32", "model.width=4",
        "model.norm=group", "model.latent_dim=3", *overrides,
    )  # fmt: skip
    models = []
    for seed in range(3):
        torch.manual_seed(seed)
        models.append(instantiate(config.model))
    return models


@pytest.mark.parametrize(
    ("name", "likelihood", "together"),
    [
        *((name, likelihood, None) for name in MODELS for likelihood in LIKELIHOODS),
        *((name, "squared_error", 2) for name in MODELS),
    ],
)
def test_a_stack_has_the_losses_and_gradients_of_its_models(composed, name, likelihood, together):
    sigma = ["likelihood.sigma=0.3"] if likelihood == "gaussian" else []
    size = ["model.flux_scale=0.1"] if together else []
    models = models_of(composed, name, f"likelihood={likelihood}", *sigma, *size)
    apart = deepcopy(models)
    for training in (True, False):
        for model in (*models, *apart):
            model.train(training)
        one_by_one, stacked = compute(steps_of(apart), 1), compute(steps_of(models), together)
        for expected, found in zip(one_by_one, stacked, strict=True):
            for term, value in vars(expected.loss).items():
                torch.testing.assert_close(getattr(found.loss, term), value, rtol=1e-5, atol=1e-5)
            assert len(found.gradients) == (len(list(models[0].parameters())) if training else 0)
            if training:  # a rounding error may be on the other side of a ReLU's edge
                left, right = (
                    torch.cat([g.flatten() for g in answer.gradients])
                    for answer in (found, expected)
                )
                assert (left - right).norm() < 1e-3 * right.norm()
        for left, right in zip(models, apart, strict=True):
            for name_of, buffer in right.named_buffers():
                torch.testing.assert_close(left.get_buffer(name_of), buffer)


def test_backward_on_an_answer_gives_the_parameters_their_gradients(composed):
    models = models_of(composed, "cvae2")
    for model, answer in zip(models, compute(steps_of(models)), strict=True):
        (2 * answer.differentiable(model).total).backward()
        for parameter, gradient in zip(model.parameters(), answer.gradients, strict=True):
            torch.testing.assert_close(parameter.grad, 2 * gradient)
