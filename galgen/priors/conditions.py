"""How a survey's redshifts, magnitudes and sizes are distributed, together."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import nn

from galgen.models.blocks import in_blocks, latent_block
from galgen.priors.base import Posteriors
from galgen.priors.flow import LatentFlow
from galgen.priors.random_numbers import REDSHIFT, uniform

QUANTILES = 1001
"""Values of each column that are kept: its distribution is exact at these."""


class SurveyConditions(nn.Module):
    """The joint distribution of some columns of a survey.

    Each column is brought to a normal distribution by its quantiles, so that numbers drawn never
    leave the column's range; a flow learns how the columns depend on each other.

    Args:
        names: of the columns.
        transforms: coupling transforms of the flow.
        width: of the two hidden layers of each.

    Attributes:
        names: of the columns.
        flow: of the columns' normal scores; None of a single column.
    """

    def __init__(self, names: Sequence[str], transforms: int = 4, width: int = 64):
        super().__init__()
        self.names = list(names)
        self.register_buffer("quantiles", torch.zeros(len(names), QUANTILES, dtype=torch.float64))
        self.register_buffer("correlation", torch.eye(len(names), dtype=torch.float64))
        self.flow = None
        if len(names) > 1:
            self.flow = LatentFlow(len(names), transforms=transforms, width=width)

    def fit(self, train: np.ndarray, val: np.ndarray, seed: int, trainer: Callable) -> None:
        """Learn the distribution of rows (N, K).

        Args:
            train: rows to learn from, finite.
            val: rows that are held out.
            seed: of the order of the rows.
            trainer: as in `Prior.fit`.

        Raises:
            ValueError: if the held-out cost was never finite.
        """
        self.tabulate(train)
        scores = self.scores(train).astype(float)
        self.correlation.copy_(torch.from_numpy(scores.T @ scores / len(scores)))
        if self.flow is not None:
            scores = [torch.from_numpy(self.scores(rows)) for rows in (train, val)]
            data = [
                Posteriors(rows, torch.zeros_like(rows), rows, rows.new_empty(len(rows), 0))
                for rows in scores
            ]
            self.flow.train_on(*data, seed, trainer)

    def tabulate(self, values: np.ndarray) -> None:
        """Take over the quantiles of rows (N, K)."""
        levels = np.linspace(0, 1, QUANTILES)
        self.quantiles.copy_(torch.from_numpy(np.quantile(values, levels, axis=0).T.copy()))

    def scores(self, values: np.ndarray) -> np.ndarray:
        """Return the normal scores of rows (N, K), float32.

        Values that are equal, as in a rounded column, are spread at random over the ranks that
        they share: a flow cannot learn a distribution without width.
        """
        chance = np.random.default_rng(0).random(values.shape)
        levels = np.linspace(0, 1, QUANTILES)
        tables = self.quantiles.cpu().numpy()
        ranks = []
        for column, table, share in zip(values.T, tables, chance.T, strict=True):
            highest = np.interp(column, table, levels)
            lowest = -np.interp(-column, -table[::-1], -levels[::-1])
            ranks.append(lowest + share * (highest - lowest))
        edge = 0.5 / QUANTILES
        return ndtri(np.clip(np.stack(ranks, axis=1), edge, 1 - edge)).astype(np.float32)

    def distance(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return how far galaxies are from the survey's, in standard deviations, (n,).

        It is the Mahalanobis distance of their normal scores.

        Args:
            values: some of the columns by name, (n,) each.
        """
        chosen = [number for number, name in enumerate(self.names) if name in values]
        full = np.full((len(next(iter(values.values()))), len(self.names)), 0.0)
        for number in chosen:
            full[:, number] = values[self.names[number]]
        scores = self.scores(full)[:, chosen].astype(float)
        correlation = self.correlation.cpu().numpy()[np.ix_(chosen, chosen)]
        inverse = np.linalg.inv(correlation + 1e-3 * np.eye(len(chosen)))
        return np.sqrt(np.einsum("ni,ij,nj->n", scores, inverse, scores))

    @torch.no_grad()
    def draw(self, seed: int, start: int, n: int) -> dict[str, np.ndarray]:
        """Draw the columns of galaxies `start` to `start + n - 1`, each by its number alone.

        Args:
            seed: of the galaxies.
            start: number of the first.
            n: how many.

        Returns:
            Arrays (n,), float64, by name.
        """
        noise = torch.from_numpy(ndtri(uniform(seed, REDSHIFT, start, n, len(self.names))))
        scores, device = noise, self.quantiles.device
        if self.flow is not None:
            scores = in_blocks(self.flow, latent_block(device), start, noise.float().to(device))
        ranks, levels = ndtr(scores.double().cpu().numpy()), np.linspace(0, 1, QUANTILES)
        return {
            name: np.interp(rank, levels, table)
            for name, rank, table in zip(
                self.names, ranks.T, self.quantiles.cpu().numpy(), strict=True
            )
        }
