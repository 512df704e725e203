"""A normalizing flow over latents: where the encoder really puts galaxies."""

from collections.abc import Callable, Iterable

import torch
import zuko
from pytorch_lightning import LightningModule
from torch import Tensor, nn


class LatentFlow(LightningModule):
    """Neural-spline coupling flow p(latent | conditions), of standardised latents.

    Source: Durkan et al. 2019; zuko's implementation.

    Args:
        latent_dim: size of the latent, 2 or more.
        conditions: numbers that it is conditional on.
        transforms: coupling transforms, one after the other.
        width: of the two hidden layers of each.
        optimizer: callable that makes the optimizer of the parameters.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        latent_dim: int,
        conditions: int = 0,
        transforms: int = 4,
        width: int = 128,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = torch.optim.Adam,
    ):
        super().__init__()
        if latent_dim < 2:
            raise ValueError(f"latent_dim is {latent_dim}, a coupling flow takes 2 or more")
        self.flow = zuko.flows.NSF(
            latent_dim, conditions, transforms=transforms, hidden_features=(width, width), passes=2
        )
        self.conditions = conditions
        self.make_optimizer = optimizer
        for name, size in (("latent", latent_dim), ("condition", conditions)):
            self.register_buffer(f"{name}_shift", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))

    def standardise_by(self, mean: Tensor, std: Tensor, conditions: Tensor | None = None) -> None:
        """Take over the mean and scatter of latents and conditions.

        A dimension that has collapsed to the prior keeps the scatter of its posterior samples.

        Args:
            mean: of the posteriors, (N, latent_dim).
            std: of the posteriors, (N, latent_dim).
            conditions: (N, conditions).
        """
        self.latent_shift.copy_(mean.mean(dim=0))
        variance = mean.var(dim=0) + std.square().mean(dim=0)
        self.latent_scale.copy_(variance.sqrt())
        if conditions is not None:
            self.condition_shift.copy_(conditions.mean(dim=0))
            self.condition_scale.copy_(conditions.std(dim=0).clamp_min(1e-6))

    def log_prob(self, latent: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return the log-density of latents (N, latent_dim) under conditions (N, K), (N,), nats."""
        standardised = (latent - self.latent_shift) / self.latent_scale
        jacobian = self.latent_scale.log().sum()
        return self._distribution(conditions).log_prob(standardised) - jacobian

    def forward(self, noise: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return latents (N, latent_dim) of standard normal noise (N, latent_dim), row by row."""
        standardised = self._distribution(conditions).transform.inv(noise)
        return standardised * self.latent_scale + self.latent_shift

    def training_step(self, batch, batch_idx: int) -> Tensor:
        """Return the negative log-likelihood of new posterior samples."""
        return self._step("train", batch)

    def validation_step(self, batch, batch_idx: int) -> Tensor:
        """Return the negative log-likelihood of new posterior samples."""
        return self._step("val", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return self.make_optimizer(self.parameters())

    def _step(self, part: str, batch: list[Tensor]) -> Tensor:
        mean, std, *conditions = batch
        latent = mean + std * torch.randn_like(std)
        loss = -self.log_prob(latent, *conditions).mean()
        self.log(f"{part}/nll", loss, on_step=False, on_epoch=True, batch_size=len(mean))
        return loss

    def _distribution(self, conditions: Tensor | None):
        if not self.conditions:
            return self.flow()
        return self.flow((conditions - self.condition_shift) / self.condition_scale)
