"""What a galaxy's latent and fluxes say about its redshift, magnitude and size."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtr, ndtri
from torch import Tensor, nn

from galgen.priors.recalibration import UNCHANGED, recalibrated, recalibration

MEMBERS = 4
"""Networks whose mean is taken."""
COMPONENTS = 8
"""Gaussians in a network's mixture."""
WIDTH = 64
"""Of the two hidden layers."""
FLUX_WEIGHT = 4.0
"""Scatter of fluxes and colours, in that of a latent: they are few, and say most."""
BATCH, EPOCHS, PATIENCE = 128, 60, 8
"""Galaxies in a batch; most epochs; epochs without a smaller held-out cost."""
LR, WEIGHT_DECAY = 0.001, 0.01
TAIL = np.array([0.0002, 0.003, 0.02, 0.06])
LEVELS = np.concatenate([TAIL, np.linspace(0.14, 0.86, 9), 1 - TAIL[::-1]])
"""Quantiles that a column's distribution is kept by; more would keep the chance in it too."""


@dataclass
class Seen:
    """What networks see of N galaxies."""

    latent: Tensor
    """Means of the encoder's posteriors, (N, latent_dim)."""
    flux: Tensor
    """Of each band in the shape of the galaxy's reconstruction, on the model's scale, (N, B)."""

    def rows(self, rows: slice | np.ndarray) -> "Seen":
        """Return what is seen of some galaxies."""
        return Seen(self.latent[rows], self.flux[rows])


class ConditionPosterior(nn.Module):
    """The posteriors of a galaxy's conditions, given its latent and its fluxes.

    The encoder's own posterior has N(0, 1) in front, not the survey, and loses some of the colours.
    So networks learn from the survey's training part how conditions are distributed among galaxies
    of the same latent and the same fluxes, which the reconstruction is fitted to the stamp with;
    that is calibrated wherever the survey is. Each is a mixture of Gaussians
    of the condition's normal score (Bishop 1994), and several are averaged (Lakshminarayanan,
    Pritzel & Blundell 2017). Averages are too wide; they are recalibrated for each condition until
    the held-out galaxies' own values scatter in them as they should (Bordoloi, Lilly & Amara 2010).

    Args:
        latent_dim: numbers in a latent.
        bands: number of the bands.
        names: of the conditions.
    """

    def __init__(self, latent_dim: int, bands: int, names: Sequence[str]):
        super().__init__()
        self.names, self.bands, inputs = list(names), bands, latent_dim + bands
        levels = torch.from_numpy(LEVELS)
        self.register_buffer("levels", levels)
        self.register_buffer("quantiles", levels.new_zeros(len(names), len(levels)))
        self.register_buffer("shift", torch.zeros(inputs))
        self.register_buffer("weight", torch.ones(inputs))
        self.register_buffer("fluxes", torch.zeros(2, bands))
        self.register_buffer("recalibration", torch.tensor([UNCHANGED] * len(names)).double())
        outputs = 3 * COMPONENTS * len(names)
        self.members = nn.ModuleList(_network(inputs, outputs) for _ in range(MEMBERS))

    def fit(self, train: tuple[Seen, np.ndarray], val: tuple[Seen, np.ndarray], seed: int) -> None:
        """Learn from galaxies and their conditions, (N, K), NaN where unknown.

        Args:
            train: galaxies to learn from.
            val: galaxies that are held out, by which each network stops.
            seed: of weights and order.

        Raises:
            ValueError: if the held-out cost was never finite.
        """
        for number, column in enumerate(train[1].T):
            table = np.quantile(column[np.isfinite(column)], LEVELS)
            # Strictly rising, also where galaxies share a value.
            table += np.linspace(0, 1e-6 * max(1e-9, table[-1] - table[0]), len(table))
            self.quantiles[number] = torch.from_numpy(np.maximum.accumulate(table))
        inputs = _inputs(train[0])
        self.shift.copy_(inputs.mean(dim=0))
        # A collapsed dimension says nothing: its noise is not blown up.
        self.weight.copy_(1 / inputs.std(dim=0).clamp_min(0.02))
        self.weight[-self.bands :] *= FLUX_WEIGHT
        self.fluxes.copy_(torch.stack(inputs[:, -self.bands :].aminmax(dim=0)))
        data = [(self._standardised(seen), self._targets(known)) for seen, known in (train, val)]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # these networks are too small to be divided
        try:
            with torch.random.fork_rng():
                for number, network in enumerate(self.members):
                    torch.manual_seed(1000 * seed + number)
                    _fit(network, *data)
        finally:
            torch.set_num_threads(threads)
        self.eval()
        seen, columns = val
        for number, name in enumerate(self.names):
            known = np.isfinite(columns[:, number])
            found = self.distribution(name, seen.rows(known), columns[known, number : number + 1])
            scores = ndtri(found[:, 0].clip(LEVELS[0], LEVELS[-1]))
            self.recalibration[number] = torch.from_numpy(recalibration(scores))

    def _standardised(self, seen: Seen) -> Tensor:
        return (_inputs(seen) - self.shift) * self.weight

    def _targets(self, conditions: np.ndarray) -> Tensor:
        scores = [
            self.score(name, column) for name, column in zip(self.names, conditions.T, strict=True)
        ]
        return torch.from_numpy(np.stack(scores, axis=1)).float()

    def score(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return the normal scores of values of a condition, NaN where these are NaN."""
        table = self.quantiles[self.names.index(name)].numpy()
        inside = np.clip(values, table[0], table[-1])
        return PchipInterpolator(table, ndtri(self.levels.numpy()))(inside)

    def beyond(self, seen: Seen) -> Tensor:
        """Return which galaxies are brighter, fainter or of other colours than those learned from.

        Returns:
            Boolean, (N,).
        """
        fluxes, (low, high) = _inputs(seen)[:, -self.bands :], self.fluxes
        return ((fluxes < low) | (fluxes > high)).any(dim=1)

    def grid(self, name: str, points: int) -> np.ndarray:
        """Return values of a condition over its range in the survey, evenly spaced, (points,)."""
        table = self.quantiles[self.names.index(name)].numpy()
        return np.linspace(table[0], table[-1], points)

    @torch.no_grad()
    def distribution(self, name: str, seen: Seen, values: np.ndarray) -> np.ndarray:
        """Return the cumulative distribution of a condition.

        Args:
            name: of the condition.
            seen: of N galaxies.
            values: of the condition where it is computed: (G,) for all galaxies, or (N, 1).

        Returns:
            (N, G) or (N, 1), float64, from 0 to 1.
        """
        inputs, n = self._standardised(seen), len(seen.latent)
        scores = np.broadcast_to(self.score(name, values), (n, values.shape[-1]))
        share, found = 1 / len(self.members), np.zeros(scores.shape)
        for network in self.members:
            parts = network(inputs).view(n, len(self.names), 3, COMPONENTS)
            logits, centre, log_width = parts[:, self.names.index(name)].double().unbind(dim=1)
            weight = logits.softmax(dim=1).numpy()
            width = log_width.clamp(-5, 3).exp().numpy()
            for one, middle, spread in zip(weight.T, centre.numpy().T, width.T, strict=True):
                found += share * one[:, None] * ndtr((scores - middle[:, None]) / spread[:, None])
        parameters = self.recalibration[self.names.index(name)].numpy()
        return ndtr(recalibrated(ndtri(found.clip(0, 1)), parameters))


def _network(inputs: int, outputs: int) -> nn.Module:
    layers = []
    for size in (inputs, WIDTH):
        layers += [nn.Linear(size, WIDTH), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, outputs))


def _inputs(seen: Seen) -> Tensor:
    """Return latents, one brightness and the colours between neighbouring bands, (N, D + B)."""
    bright = seen.flux.asinh()
    return torch.cat([seen.latent, bright[:, :1], bright.diff(dim=1)], dim=1)


def _cost(outputs: Tensor, scores: Tensor) -> Tensor:
    """Return the negative log-density of scores (N, K), the mean over those that are known."""
    parts = outputs.view(len(scores), scores.shape[1], 3, COMPONENTS)
    logits, centre, log_width = parts.unbind(dim=2)
    log_width, known = log_width.clamp(-5, 3), ~scores.isnan()
    away = (scores.nan_to_num()[..., None] - centre) / log_width.exp()
    inside = logits.log_softmax(dim=2) - log_width - 0.5 * away.square()
    density = inside.logsumexp(dim=2) - 0.5 * math.log(2 * math.pi)
    return -density[known].mean()


def _fit(network: nn.Module, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> None:
    """Train a network, and keep its weights of the least held-out cost."""
    for layer in network:
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    nn.init.normal_(network[-1].bias, 0, 0.5)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    least, state, waited = math.inf, None, 0
    for _ in range(EPOCHS):
        network.train()
        for rows in torch.randperm(len(train[0])).split(BATCH):
            optimizer.zero_grad()
            _cost(network(train[0][rows]), train[1][rows]).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            cost = float(_cost(network(val[0]), val[1]))
        waited += 1
        if cost < least:
            least, state, waited = cost, copy.deepcopy(network.state_dict()), 0
        if waited == PATIENCE:
            break
    if state is None:
        raise ValueError("the held-out cost was never finite")
    network.load_state_dict(state)
