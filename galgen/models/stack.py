"""Losses and gradients of several models that differ in their numbers alone, computed as one."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from galgen.models.losses import Loss
from galgen.models.vae import VAE

READ = ("image", "redshift", "noise_variance", "psf", "weight")
"""What of a batch a loss is a function of."""


@dataclass
class Step:
    """What a model asks for: the loss of a batch and, in training, its gradients."""

    model: VAE
    batch: object
    """`galgen.data.parts.Batch`"""
    beta: float
    noise: Tensor
    """Standard normal, (N, latent_dim)."""

    @property
    def arrays(self) -> dict[str, Tensor]:
        """What is read of the batch, by name."""
        known = {name: getattr(self.batch, name) for name in READ}
        return {name: values for name, values in known.items() if values is not None}

    @property
    def kind(self) -> tuple:
        """What steps have in common that can be computed as one."""
        shapes = tuple((name, values.shape) for name, values in self.arrays.items())
        return self.model.training, shapes


@dataclass
class Answer:
    """A loss and, in training, the gradients of the model's parameters in their order."""

    loss: Loss
    gradients: Sequence[Tensor] = ()

    def differentiable(self, model: VAE) -> Loss:
        """Return the loss as one whose `backward` gives the parameters their gradients."""
        if not self.gradients:
            return self.loss
        total = _Known.apply(self.loss.total, self.gradients, *model.parameters())
        return replace(self.loss, total=total)


class _Known(torch.autograd.Function):
    """A number whose gradients are known."""

    @staticmethod
    def forward(ctx, total: Tensor, gradients: Sequence[Tensor], *parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        return total.clone()

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple:
        return None, None, *(upstream * gradient for gradient in ctx.gradients)


def compute(
    steps: Sequence[Step],
    together: int | None = None,
    forward_context: Callable[[], AbstractContextManager] = nullcontext,
) -> list[Answer]:
    """Compute the steps of models of one architecture, each as if it were alone.

    Args:
        steps: of one kind. The models have no batch norm, whose statistics belong to the forward
            pass of one model.
        together: models computed at once by `torch.func.vmap`, which spares an accelerator most of
            its kernels and costs a CPU its caches; 1 for one after another, None for all.
        forward_context: makes the context of a forward pass, autocast or none.

    Returns:
        An answer for each step.
    """
    if together == 1 or len(steps) == 1:
        return [_compute_alone(step, forward_context) for step in steps]
    return _compute_stacked(steps, together, forward_context)


def _compute_alone(step: Step, forward_context: Callable) -> Answer:
    with torch.set_grad_enabled(step.model.training), forward_context():
        loss = step.model.loss_with(step.batch, step.beta, step.noise)
    gradients = ()
    if step.model.training:
        gradients = torch.autograd.grad(loss.total, list(step.model.parameters()))
    return Answer(Loss(**{name: term.detach() for name, term in _terms(loss).items()}), gradients)


@torch.no_grad()
def _compute_stacked(
    steps: Sequence[Step], together: int | None, forward_context: Callable
) -> list[Answer]:
    models, training = [step.model for step in steps], steps[0].model.training
    one = _LossOf(steps[0], forward_context)
    inputs = (
        _stack([dict(model.named_parameters()) for model in models]),
        _stack([dict(model.named_buffers()) for model in models]),
        _stack([step.arrays for step in steps]),
        torch.stack([step.noise for step in steps]),
        torch.stack([step.noise.new_full((), step.beta) for step in steps]),
    )
    if training:
        gradients, (_, found) = vmap(grad_and_value(one.of, has_aux=True), chunk_size=together)(
            *inputs
        )
    else:
        gradients, (_, found) = {}, vmap(one.of, chunk_size=together)(*inputs)
    terms, buffers = found
    answers = []
    for number, model in enumerate(models):
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name][number])
        loss = Loss(**{name: values[number] for name, values in terms.items()})
        answers.append(Answer(loss, [gradient[number] for gradient in gradients.values()]))
    return answers


class _LossOf(nn.Module):
    """The loss of a model as a function of its parameters and all else.

    Args:
        step: of one of the models; its batch says what is read, and of which type.
        forward_context: makes the context of a forward pass.
    """

    def __init__(self, step: Step, forward_context: Callable):
        super().__init__()
        self.model, self.batch, self.forward_context = step.model, step.batch, forward_context

    def of(
        self, parameters: dict, buffers: dict, arrays: dict, noise: Tensor, beta: Tensor
    ) -> tuple[Tensor, tuple[dict, dict]]:
        """Return the loss with, as they are not differentiated, its terms and new buffers."""
        buffers = {name: buffer.clone() for name, buffer in buffers.items()}
        state = {f"model.{name}": value for name, value in {**parameters, **buffers}.items()}
        batch = replace(self.batch, **arrays)
        loss = functional_call(self, state, (batch, beta, noise))
        return loss.total, (_terms(loss), buffers)

    def forward(self, batch, beta: Tensor, noise: Tensor) -> Loss:
        """Return the loss of a batch."""
        with self.forward_context():
            return self.model.loss_with(batch, beta, noise)


def _terms(loss: Loss) -> dict[str, Tensor]:
    return {name: term for name, term in vars(loss).items() if term is not None}


def _stack(of_models: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stack what models have by name; in the plain memory format, which vmap's norms need."""
    return {
        name: torch.stack([values[name].contiguous() for values in of_models])
        for name in of_models[0]
    }
