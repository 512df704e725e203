"""A second VAE, of the latents of the first."""

import math

import torch
from torch import Tensor, nn

from galgen.models.posterior import kl_to_standard_normal, posterior
from galgen.priors.trained import TrainedPrior


class TwoStage(TrainedPrior):
    """A VAE of standardised latents, with a learned variance of its reconstructions.

    Source: Dai & Wipf 2019, section 4.

    Args:
        latent_dim: size of the latent, and of the second latent.
        width: of the two hidden layers of encoder and decoder.
        **arguments: as `TrainedPrior`.

    Raises:
        ValueError: if an argument is out of range.
    """

    label = "second VAE"
    has_density = False

    def __init__(self, latent_dim: int, width: int = 256, **arguments):
        super().__init__(latent_dim, **arguments)
        if width < 1:
            raise ValueError(f"width={width}: it must be positive.")
        self.noise_dim = 2 * latent_dim
        inputs = latent_dim + self.context
        self.encoder = _perceptron(inputs, width, 2 * latent_dim)
        self.decoder = _perceptron(inputs, width, latent_dim)
        self.log_sigma = nn.Parameter(torch.zeros(()))

    def cost(self, standardised: Tensor, context: Tensor) -> Tensor:
        """Return the negative evidence lower bound of standardised latents (N, latent_dim), (N,).

        It draws one second latent for each.
        """
        code = self.encoder(torch.cat([standardised, context], dim=1))
        q = posterior(*code.chunk(2, dim=1))
        made = self.decoder(torch.cat([q.rsample(), context], dim=1))
        error = ((standardised - made) / self.log_sigma.exp()).square().sum(dim=1)
        constant = self.latent_dim * (self.log_sigma + 0.5 * math.log(2 * math.pi))
        return 0.5 * error + constant + kl_to_standard_normal(q)

    def make(self, noise: Tensor, context: Tensor) -> Tensor:
        """Return standardised latents of standard normal noise (N, 2 latent_dim), row by row."""
        second, scatter = noise.chunk(2, dim=1)
        return self.decoder(torch.cat([second, context], dim=1)) + self.log_sigma.exp() * scatter


def _perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.SiLU(),
        nn.Linear(width, width),
        nn.SiLU(),
        nn.Linear(width, outputs),
    )
