"""What latents are drawn from: the contract of a prior."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn


@dataclass
class Posteriors:
    """The posteriors of N galaxies, and the conditions that a prior knows of them."""

    mean: Tensor
    """(N, latent_dim)"""
    std: Tensor
    """(N, latent_dim)"""
    sample: Tensor
    """One draw from each posterior, (N, latent_dim)."""
    conditions: Tensor
    """(N, K), NaN where unknown."""


class Prior(nn.Module):
    """A distribution of latents given conditions.

    Args:
        latent_dim: size of the latent.
        conditions: names of the numbers that it is conditional on.
        required: how many of them, the first ones, are always known.

    Raises:
        ValueError: if `required` is more than there are.

    Attributes:
        noise_dim: how many standard normal numbers a latent is made of.
    """

    label: ClassVar[str]
    """Name in figures."""
    has_density: ClassVar[bool] = True
    """Whether `log_prob` is the log-density, neither a bound nor an estimate of it."""
    takes_unknown: ClassVar[bool] = True
    """Whether conditions that may be unknown can be given; else only those that always are."""
    takes_shape: ClassVar[bool] = False
    """Whether it is made with `latent_shape` too: channels, height, width of its map, or None."""
    noise_dim: int

    def __init__(self, latent_dim: int, conditions: Sequence[str] = (), required: int = 0):
        super().__init__()
        if not 0 <= required <= len(conditions):
            raise ValueError(f"required={required}: there are {len(conditions)} conditions.")
        self.latent_dim, self.conditions = latent_dim, list(conditions)
        self.required, self.noise_dim = required, latent_dim

    @abstractmethod
    def fit(self, train: Posteriors, val: Posteriors, seed: int, trainer: Callable) -> None:
        """Learn the distribution of latents.

        Args:
            train: galaxies to learn from.
            val: galaxies that are held out.
            seed: of its random numbers.
            trainer: callable that trains a `TrainedPrior` by gradients: (prior, train, val, seed).

        Raises:
            ValueError: if the galaxies do not suffice.
        """

    @abstractmethod
    def forward(self, noise: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return latents (N, latent_dim) of standard normal noise, row by row.

        Args:
            noise: (N, noise_dim).
            conditions: (N, K), NaN where unknown; all are where None.
        """

    @abstractmethod
    def log_prob(self, latent: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return the log-density of latents, a lower bound of it, or an estimate, nats, (N,).

        Args:
            latent: (N, latent_dim).
            conditions: (N, K), NaN where unknown; all are where None.
        """
