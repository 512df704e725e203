"""A prior that carries noise to latents along a learned velocity."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel

from galgen.priors.base import Posteriors
from galgen.priors.trained import TrainedPrior
from galgen.priors.velocity import Velocity

MEMORY = 500
"""Steps that the average of the weights goes back."""


WARM_UP = 0.03
"""Share of the training in which the learning rate rises."""
END = math.pi / 2
"""Angle, in radians, at which paths that begin as noise at 0 have become latents."""


class FlowMatching(TrainedPrior):
    """Flow matching p(latent | conditions) along arcs from noise to standardised latents.

    At an angle a, galaxies are cos(a) noise + sin(a) latent. A network learns their velocity along
    the arcs, which is zero in each dimension that has collapsed to the prior; latents are drawn by
    solving the differential equation by the method of Adams and Bashforth (second order), whose
    first step is one of Heun's. The learning rate falls to nothing at the last of `max_epochs`. The
    weights that are used are an average over the last steps of the training.

    Source: Lipman et al. 2023; arcs after Albergo & Vanden-Eijnden 2023; angles in the training
    after Esser et al. 2024.

    Args:
        latent_dim: size of the latent.
        latent_shape: channels, height and width of the latent's map, which the numbers of a vector
            may follow; None where it is a vector alone.
        steps: of the solver; each takes one evaluation of the network, the first one two.
        patch: side of a patch of the map, px.
        width: numbers of a token.
        depth: blocks of the transformer.
        heads: of its attention.
        **arguments: as `TrainedPrior`.

    Raises:
        ValueError: if an argument is out of range.
    """

    label = "flow matching"
    has_density = False
    takes_shape = True

    def __init__(
        self,
        latent_dim: int,
        latent_shape: Sequence[int] | None = None,
        steps: int = 6,
        patch: int = 2,
        width: int = 96,
        depth: int = 6,
        heads: int = 4,
        **arguments,
    ):
        super().__init__(latent_dim, **arguments)
        if steps < 1:
            raise ValueError(f"steps={steps}: it must be positive.")
        self.steps = steps
        vector = latent_dim - (math.prod(latent_shape) if latent_shape else 0)
        shape = tuple(latent_shape) if latent_shape else None
        self.velocity = Velocity(shape, vector, self.context, patch, width, depth, heads)

    def train_on(self, train: Posteriors, val: Posteriors, seed: int, trainer: Callable) -> None:
        """Train as `TrainedPrior`, and keep the average of the weights alone."""
        self.average = AveragedModel(self.velocity, avg_fn=_average)
        super().train_on(train, val, seed, trainer)
        self.velocity.load_state_dict(self.average.module.state_dict())
        del self.average

    def configure_optimizers(self, steps: int) -> dict:
        """Return Adam, whose rate rises for a short while and then falls to nothing."""
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr, fused=True)
        schedule = OneCycleLR(
            optimizer, self.lr, total_steps=steps, pct_start=WARM_UP, cycle_momentum=False
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def after_step(self) -> None:
        """Bring the average of the weights up to date."""
        self.average.update_parameters(self.velocity)

    def objective(
        self, standardised: Tensor, context: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the squared error of the velocity on the way to standardised latents, (N,)."""
        device = standardised.device
        angle = torch.randn(len(standardised), generator=generator, device=device).exp().atan()
        noise = torch.randn(standardised.shape, generator=generator, device=device)
        cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
        network = self.velocity if self.training else self.average
        velocity = network(cosine * noise + sine * standardised, angle, context)
        return (velocity - (cosine * standardised - sine * noise)).square().sum(dim=1)

    def make(self, noise: Tensor, context: Tensor) -> Tensor:
        """Return standardised latents (N, latent_dim) of standard normal noise of that shape."""
        latent, step = noise, END / self.steps
        angle = latent.new_zeros(len(latent))
        before = self.velocity(latent, angle, context)
        end = self.velocity(latent + step * before, angle + step, context)
        latent = latent + 0.5 * step * (before + end)
        for number in range(1, self.steps):
            here = self.velocity(latent, angle + number * step, context)
            latent, before = latent + step * (1.5 * here - 0.5 * before), here
        return latent

    def cost(self, standardised: Tensor, context: Tensor) -> Tensor:
        """Estimate the negative log-density of standardised latents (N, latent_dim), (N,).

        The way back is found by Heun's method. The change of volume along it is estimated with one
        random direction for each latent (Hutchinson's estimator; Grathwohl et al. 2019), the same
        in each call.
        """
        generator = torch.Generator(standardised.device).manual_seed(0)
        chance = torch.rand(standardised.shape, generator=generator, device=standardised.device)
        probe = 2.0 * (chance < 0.5) - 1
        latent, volume, step = standardised, torch.zeros_like(standardised[:, 0]), END / self.steps
        for number in range(self.steps, 0, -1):
            angle = latent.new_full((len(latent),), number * step)
            end, grows_at_end = self._divergence(latent, angle, context, probe)
            start, grows = self._divergence(latent - step * end, angle - step, context, probe)
            latent = latent - 0.5 * step * (start + end)
            volume = volume + 0.5 * step * (grows + grows_at_end)
        constant = 0.5 * self.latent_dim * math.log(2 * math.pi)
        return 0.5 * latent.square().sum(dim=1) + constant + volume

    def _divergence(
        self, latent: Tensor, angle: Tensor, context: Tensor, probe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the velocity and an estimate of its divergence, (N, latent_dim) and (N,)."""
        with torch.enable_grad():
            place = latent.detach().requires_grad_()
            velocity = self.velocity(place, angle, context)
            [slope] = torch.autograd.grad((velocity * probe).sum(), place)
        return velocity.detach(), (slope * probe).sum(dim=1)


def _average(averaged: Tensor, weights: Tensor, steps: Tensor) -> Tensor:
    """Average weights over the last steps, over fewer of them while there are few."""
    return averaged.lerp(weights, float(1 / (1 + steps / 10).clamp(max=MEMORY)))
