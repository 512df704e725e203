"""Priors that are trained by gradients on posterior samples."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from galgen.priors.base import Posteriors, Prior

PATIENCE = 4
"""Epochs without a smaller held-out cost, after which the learning rate is halved."""


class TrainedPrior(Prior):
    """A prior that is trained until the held-out cost no longer falls.

    Conditions that are not required are hidden at random in the training, so that the prior serves
    with and without them.

    Args:
        latent_dim: size of the latent.
        conditions: names of the numbers that it is conditional on.
        required: how many of them, the first ones, are always known.
        batch_size: latents in a batch.
        max_epochs: most epochs.
        patience: epochs without a smaller held-out cost, after which it stops.
        lr: learning rate of Adam.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        latent_dim: int,
        conditions: Sequence[str] = (),
        required: int = 0,
        batch_size: int = 512,
        max_epochs: int = 300,
        patience: int = 15,
        lr: float = 0.001,
    ):
        super().__init__(latent_dim, conditions, required)
        if batch_size < 2 or max_epochs < 1 or patience < 1 or not lr > 0:
            raise ValueError(
                f"batch_size ({batch_size}) must be 2 or more, max_epochs ({max_epochs}), patience "
                f"({patience}) and lr ({lr}) positive"
            )
        self.batch_size, self.max_epochs = batch_size, max_epochs
        self.patience, self.lr = patience, lr
        self.context = 2 * len(conditions)
        for name, size in (("latent", latent_dim), ("condition", len(conditions))):
            self.register_buffer(f"{name}_shift", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))

    def fit(self, train: Posteriors, val: Posteriors, seed: int, trainer: Callable) -> None:
        """Train, and keep the weights with the least held-out cost.

        Arguments as `Prior.fit`.

        Raises:
            ValueError: if the held-out cost was never finite.
        """
        self.standardise_by(train.mean, train.std, train.conditions)
        self.train_on(train, val, seed, trainer)

    def train_on(self, train: Posteriors, val: Posteriors, seed: int, trainer: Callable) -> None:
        """Train with the standardisation as it is; arguments as `Prior.fit`.

        Raises:
            ValueError: if the held-out cost was never finite.
        """
        trainer(self, train, val, seed)

    @abstractmethod
    def cost(self, standardised: Tensor, context: Tensor) -> Tensor:
        """Return the negative log-density, or a bound of it, of standardised latents, (N,)."""

    def objective(
        self, standardised: Tensor, context: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return what training minimises for each of standardised latents (N, latent_dim), (N,).

        Args:
            standardised: (N, latent_dim).
            context: (N, context).
            generator: of its random numbers; PyTorch's own where None.
        """
        return self.cost(standardised, context)

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
        """Return the log-density of latents, a lower bound of it, or an estimate.

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

    def training_cost(self, batch: Sequence[Tensor], generator: torch.Generator | None) -> Tensor:
        """Return the mean objective of new samples of [mean, std, conditions], each (N, ...).

        Args:
            batch: posteriors and what is known of their galaxies.
            generator: of its random numbers; PyTorch's own where None.
        """
        mean, std, conditions = batch
        n, optional = len(mean), len(self.conditions) - self.required
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        chance = torch.rand(n, 1 + optional, generator=generator, device=mean.device)
        # Each galaxy has a share of its own, so that none and all are hidden often.
        hidden = torch.zeros_like(conditions, dtype=torch.bool)
        hidden[:, self.required :] = chance[:, 1:] < chance[:, :1]
        standardised = (mean + std * noise - self.latent_shift) / self.latent_scale
        context = self._context(conditions.masked_fill(hidden, torch.nan), n)
        return self.objective(standardised, context, generator).mean()

    def configure_optimizers(self, steps: int) -> dict:
        """Return Adam, whose rate is halved when the held-out cost no longer falls.

        Args:
            steps: of the whole training, if it is not stopped before.

        Returns:
            What Lightning takes of its `configure_optimizers`.
        """
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr, fused=True)
        schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=PATIENCE)
        monitor = {"scheduler": schedule, "monitor": "val/cost", "strict": False}
        return {"optimizer": optimizer, "lr_scheduler": monitor}

    def after_step(self) -> None:
        """Do what is to be done after each step of the training."""

    def _context(self, conditions: Tensor | None, n: int) -> Tensor:
        """Standardise conditions, with 0 where unknown, and append which are known, (N, 2 K)."""
        if conditions is None:
            conditions = self.condition_shift.new_full((n, len(self.conditions)), torch.nan)
        known = ~conditions.isnan()
        standardised = (conditions - self.condition_shift) / self.condition_scale
        return torch.cat([standardised.where(known, 0.0), known.to(standardised.dtype)], dim=1)
