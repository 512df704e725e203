"""The prior of the VAE's own loss, which needs no fit."""

import math
from collections.abc import Callable

from torch import Tensor

from galgen.priors.base import Posteriors, Prior


class StandardNormal(Prior):
    """N(0, 1) in each latent dimension, whatever the conditions; arguments as `Prior`."""

    label = "N(0, 1)"
    takes_unknown = False

    def fit(self, train: Posteriors, val: Posteriors, seed: int, trainer: Callable) -> None:
        """Do nothing: there is nothing to learn."""

    def forward(self, noise: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return the noise, (N, latent_dim)."""
        return noise

    def log_prob(self, latent: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return the log-density of latents (N, latent_dim), nats, (N,)."""
        return -0.5 * (latent.square() + math.log(2 * math.pi)).sum(dim=1)
