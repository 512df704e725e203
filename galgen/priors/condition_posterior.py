"""What a galaxy's latent says about its redshift, magnitude and size."""

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtr, ndtri
from torch import Tensor, nn

from galgen.priors.base import Posteriors
from galgen.priors.recalibration import UNCHANGED, recalibrated, recalibration

MEMBERS = 4
"""Networks whose mean is taken."""
COMPONENTS = 8
"""Gaussians in a network's mixture."""
WIDTH, DROPOUT = 64, 0.3
"""Of the two hidden layers."""
BATCH, EPOCHS, PATIENCE = 128, 60, 8
"""Galaxies in a batch; most epochs; epochs without a smaller held-out cost."""
LR, WEIGHT_DECAY = 0.001, 0.01
TAIL = np.array([0.0002, 0.003, 0.02, 0.06])
LEVELS = np.concatenate([TAIL, np.linspace(0.14, 0.86, 9), 1 - TAIL[::-1]])
"""Quantiles that a column's distribution is kept by; more would keep the chance in it too."""


class ConditionPosterior(nn.Module):
    """The posteriors of a galaxy's conditions, given the encoder's posterior of its latent.

    The encoder's own posterior has N(0, 1) in front, not the survey. So networks learn from the
    survey's training part how conditions are distributed among galaxies of the same mean and
    scatter of the latent; that is calibrated wherever the survey is. Each is a mixture of Gaussians
    of the condition's normal score (Bishop 1994), and several are averaged (Lakshminarayanan,
    Pritzel & Blundell 2017). Averages are too wide; they are recalibrated for each condition until
    the held-out galaxies' own values scatter in them as they should (Bordoloi, Lilly & Amara 2010).

    Args:
        latent_dim: numbers in a latent.
        names: of the conditions.
    """

    def __init__(self, latent_dim: int, names: Sequence[str]):
        super().__init__()
        self.names, inputs = list(names), 2 * latent_dim
        levels = torch.from_numpy(LEVELS)
        self.register_buffer("levels", levels)
        self.register_buffer("quantiles", levels.new_zeros(len(names), len(levels)))
        self.register_buffer("shift", torch.zeros(inputs))
        self.register_buffer("weight", torch.ones(inputs))
        self.register_buffer("recalibration", torch.tensor([UNCHANGED] * len(names)).double())
        outputs = 3 * COMPONENTS * len(names)
        self.members = nn.ModuleList(_network(inputs, outputs) for _ in range(MEMBERS))

    def fit(self, train: Posteriors, val: Posteriors, seed: int) -> None:
        """Learn from galaxies whose conditions are known, NaN where not.

        Args:
            train: galaxies to learn from.
            val: galaxies that are held out, by which each network stops.
            seed: of weights and order.

        Raises:
            ValueError: if the held-out cost was never finite.
        """
        for number, column in enumerate(train.conditions.double().numpy().T):
            table = np.quantile(column[np.isfinite(column)], LEVELS)
            # Strictly rising, also where galaxies share a value.
            table += np.linspace(0, 1e-6 * max(1e-9, table[-1] - table[0]), len(table))
            self.quantiles[number] = torch.from_numpy(np.maximum.accumulate(table))
        inputs = _inputs(train.mean, train.std)
        self.shift.copy_(inputs.mean(dim=0))
        # A collapsed dimension says nothing: its noise is not blown up.
        self.weight.copy_(1 / inputs.std(dim=0).clamp_min(0.02))
        data = [
            ((_inputs(part.mean, part.std) - self.shift) * self.weight, self._targets(part))
            for part in (train, val)
        ]
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
        for number, name in enumerate(self.names):
            true = val.conditions[:, number].double().numpy()
            known = np.isfinite(true)
            found = self.distribution(name, val.mean[known], val.std[known], true[known, None])
            scores = ndtri(found[:, 0].clip(LEVELS[0], LEVELS[-1]))
            self.recalibration[number] = torch.from_numpy(recalibration(scores))

    def _targets(self, part: Posteriors) -> Tensor:
        columns = part.conditions.double().numpy().T
        scores = [
            self.score(name, column) for name, column in zip(self.names, columns, strict=True)
        ]
        return torch.from_numpy(np.stack(scores, axis=1)).float()

    def score(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return the normal scores of values of a condition, NaN where these are NaN."""
        table = self.quantiles[self.names.index(name)].numpy()
        inside = np.clip(values, table[0], table[-1])
        return PchipInterpolator(table, ndtri(self.levels.numpy()))(inside)

    def grid(self, name: str, points: int) -> np.ndarray:
        """Return values of a condition over its range in the survey, evenly spaced, (points,)."""
        table = self.quantiles[self.names.index(name)].numpy()
        return np.linspace(table[0], table[-1], points)

    @torch.no_grad()
    def distribution(self, name: str, mean: Tensor, std: Tensor, values: np.ndarray) -> np.ndarray:
        """Return the cumulative distribution of a condition.

        Args:
            name: of the condition.
            mean: of the latents' posteriors, (N, latent_dim).
            std: of these, (N, latent_dim).
            values: of the condition where it is computed: (G,) for all galaxies, or (N, 1).

        Returns:
            (N, G) or (N, 1), float64, from 0 to 1.
        """
        inputs = (_inputs(mean, std) - self.shift) * self.weight
        scores = np.broadcast_to(self.score(name, values), (len(mean), values.shape[-1]))
        share, found = 1 / len(self.members), np.zeros(scores.shape)
        for network in self.members:
            parts = network(inputs).view(len(mean), len(self.names), 3, COMPONENTS)
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
        layers += [nn.Linear(size, WIDTH), nn.SiLU(), nn.Dropout(DROPOUT)]
    return nn.Sequential(*layers, nn.Linear(WIDTH, outputs))


def _inputs(mean: Tensor, std: Tensor) -> Tensor:
    return torch.cat([mean, std.log()], dim=1)


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
