"""What the priors that learn where the encoder puts galaxies have in common."""

from abc import abstractmethod
from collections.abc import Callable, Iterable

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

PATIENCE = 4
"""Epochs without a better held-out likelihood, after which the learning rate is halved."""


class LatentPrior(LightningModule):
    """A distribution of latents given conditions, trained on posterior samples.

    Conditions beyond those that are required may be NaN, which stands for unknown: in training
    some are hidden at random, so that the prior serves with and without them.

    Args:
        latent_dim: size of the latent.
        conditions: numbers that it is conditional on.
        required: how many of them, the first ones, are always known.
        optimizer: callable that makes the optimizer of the parameters.

    Raises:
        ValueError: if `required` is more than there are.

    Attributes:
        noise_dim: standard normal numbers that a latent is made of.
    """

    noise_dim: int

    def __init__(
        self,
        latent_dim: int,
        conditions: int = 0,
        required: int = 0,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = torch.optim.Adam,
    ):
        super().__init__()
        if not 0 <= required <= conditions:
            raise ValueError(f"required is {required}, of {conditions} conditions")
        self.latent_dim, self.conditions, self.required = latent_dim, conditions, required
        self.context = 2 * conditions
        self.make_optimizer = optimizer
        for name, size in (("latent", latent_dim), ("condition", conditions)):
            self.register_buffer(f"{name}_shift", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))

    @abstractmethod
    def cost(self, standardised: Tensor, context: Tensor) -> Tensor:
        """Return the negative log-density, or a bound of it, of standardised latents, (N,)."""

    @abstractmethod
    def make(self, noise: Tensor, context: Tensor) -> Tensor:
        """Return standardised latents of standard normal noise (N, noise_dim), row by row."""

    def standardise_by(self, mean: Tensor, std: Tensor, conditions: Tensor | None = None) -> None:
        """Take over the mean and scatter of latents and conditions.

        A dimension that has collapsed to the prior keeps the scatter of its posterior samples; a
        condition that is the same for all keeps its unit.

        Args:
            mean: of the posteriors, (N, latent_dim).
            std: of the posteriors, (N, latent_dim).
            conditions: (N, conditions), NaN where unknown.
        """
        self.latent_shift.copy_(mean.mean(dim=0))
        variance = mean.var(dim=0) + std.square().mean(dim=0)
        self.latent_scale.copy_(variance.sqrt().clamp_min(1e-6))
        if conditions is not None:
            shift = conditions.nanmean(dim=0)
            scatter = (conditions - shift).square().nanmean(dim=0).sqrt()
            self.condition_shift.copy_(shift)
            self.condition_scale.copy_(scatter.where(scatter > 1e-6 * shift.abs(), 1.0))

    def log_prob(self, latent: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return the log-density of latents, or a lower bound of it.

        Args:
            latent: (N, latent_dim).
            conditions: (N, conditions), NaN where unknown.

        Returns:
            Nats, (N,).
        """
        standardised = (latent - self.latent_shift) / self.latent_scale
        jacobian = self.latent_scale.log().sum()
        return -self.cost(standardised, self._context(conditions, len(latent))) - jacobian

    def forward(self, noise: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return latents (N, latent_dim) of standard normal noise, row by row.

        Args:
            noise: (N, noise_dim).
            conditions: (N, conditions), NaN where unknown.
        """
        made = self.make(noise, self._context(conditions, len(noise)))
        return made * self.latent_scale + self.latent_shift

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Return the cost of new posterior samples of [mean, std, conditions], each (N, ...)."""
        return self._step("train", batch, None)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Return the cost of posterior samples that are the same in every epoch."""
        return self._step("val", batch, torch.Generator(self.device).manual_seed(batch_idx))

    def configure_optimizers(self) -> dict:
        """Return the optimizer, whose rate is halved when the held-out likelihood stays."""
        optimizer = self.make_optimizer(self.parameters())
        schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=PATIENCE)
        monitor = {"scheduler": schedule, "monitor": "val/nll", "strict": False}
        return {"optimizer": optimizer, "lr_scheduler": monitor}

    def _step(self, part: str, batch: list[Tensor], generator: torch.Generator | None) -> Tensor:
        mean, std, conditions = batch
        n, optional = len(mean), self.conditions - self.required
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        chance = torch.rand(n, 1 + optional, generator=generator, device=mean.device)
        # Each galaxy has a share of its own, so that none and all are hidden often.
        hidden = torch.zeros_like(conditions, dtype=torch.bool)
        hidden[:, self.required :] = chance[:, 1:] < chance[:, :1]
        loss = -self.log_prob(mean + std * noise, conditions.masked_fill(hidden, torch.nan)).mean()
        self.log(f"{part}/nll", loss, on_step=False, on_epoch=True, batch_size=n)
        return loss

    def _context(self, conditions: Tensor | None, n: int) -> Tensor:
        """Standardise conditions, with 0 for what is unknown, and which are known, (N, 2 K)."""
        if conditions is None:
            conditions = self.condition_shift.new_full((n, self.conditions), torch.nan)
        known = ~conditions.isnan()
        standardised = (conditions - self.condition_shift) / self.condition_scale
        return torch.cat([standardised.where(known, 0.0), known.to(standardised.dtype)], dim=1)
