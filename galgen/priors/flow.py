"""A normalizing flow over latents: where the encoder really puts galaxies."""

import zuko
from torch import Tensor

from galgen.priors.trained import TrainedPrior


class LatentFlow(TrainedPrior):
    """Neural-spline coupling flow p(latent | conditions), of standardised latents.

    Source: Durkan et al. 2019; zuko's implementation.

    Args:
        latent_dim: size of the latent, 2 or more.
        transforms: coupling transforms, one after the other.
        width: of the two hidden layers of each.
        **arguments: as `TrainedPrior`.

    Raises:
        ValueError: if an argument is out of range.
    """

    label = "flow"

    def __init__(self, latent_dim: int, transforms: int = 4, width: int = 128, **arguments):
        super().__init__(latent_dim, **arguments)
        if latent_dim < 2:
            raise ValueError(f"latent_dim={latent_dim}: a coupling flow takes 2 or more.")
        if transforms < 1 or width < 1:
            raise ValueError(f"transforms ({transforms}) and width ({width}) must be positive")
        self.flow = zuko.flows.NSF(
            latent_dim,
            self.context,
            transforms=transforms,
            hidden_features=(width, width),
            passes=2,
        )

    def cost(self, standardised: Tensor, context: Tensor) -> Tensor:
        """Return the negative log-density of standardised latents (N, latent_dim), (N,)."""
        return -self._distribution(context).log_prob(standardised)

    def make(self, noise: Tensor, context: Tensor) -> Tensor:
        """Return standardised latents (N, latent_dim) of standard normal noise of that shape."""
        return self._distribution(context).transform.inv(noise)

    def _distribution(self, context: Tensor):
        return self.flow(context) if self.context else self.flow()
