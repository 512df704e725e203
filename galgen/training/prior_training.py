"""The training of a prior, as Lightning runs it."""

import copy
import math
from collections.abc import Callable

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from galgen.priors.base import Posteriors
from galgen.priors.trained import TrainedPrior

COST = "val/cost"
"""Name of the held-out cost."""


class PriorTraining(pl.LightningModule):
    """What Lightning trains: a prior, on new posterior samples in each step."""

    def __init__(self, prior: TrainedPrior):
        super().__init__()
        self.prior = prior

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Return the cost of new posterior samples of [mean, std, conditions], each (N, ...)."""
        return self._step("train/cost", batch, None)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Return the cost of posterior samples that are the same in every epoch."""
        return self._step(COST, batch, torch.Generator(self.device).manual_seed(batch_idx))

    def on_train_batch_end(self, outputs, batch, batch_idx: int) -> None:
        """Tell the prior that a step has been made."""
        self.prior.after_step()

    def configure_optimizers(self) -> dict:
        """Return the prior's optimizer and schedule."""
        return self.prior.configure_optimizers(int(self.trainer.estimated_stepping_batches))

    def _step(self, name: str, batch: list[Tensor], generator: torch.Generator | None) -> Tensor:
        loss = self.prior.training_cost(batch, generator)
        self.log(name, loss, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss


class KeepBest(pl.Callback):
    """Keep the prior's weights with the least held-out cost."""

    def __init__(self):
        self.least, self.state = math.inf, None

    def on_validation_end(self, trainer, pl_module):
        """Keep the weights, if they are the best so far."""
        cost = float(trainer.callback_metrics[COST])
        if cost < self.least:
            self.least, self.state = cost, copy.deepcopy(pl_module.prior.state_dict())


def train_prior(
    prior: TrainedPrior, train: Posteriors, val: Posteriors, seed: int, make_trainer: Callable
) -> None:
    """Train a prior until its held-out cost no longer falls, and keep its best weights.

    Args:
        prior: standardised already.
        train: galaxies to learn from.
        val: galaxies that are held out.
        seed: of their order.
        make_trainer: maps (epochs, callbacks) to a Lightning Trainer.

    Raises:
        ValueError: if the held-out cost was never finite.
    """
    best, stop = KeepBest(), EarlyStopping(COST, patience=prior.patience, check_finite=True)
    loaders = _loader(prior, train, seed, shuffle=True), _loader(prior, val, seed)
    try:
        make_trainer(prior.max_epochs, [best, stop]).fit(PriorTraining(prior), *loaders)
    except SystemExit:  # Lightning turns Ctrl-C into an exit
        raise KeyboardInterrupt from None
    if best.state is None:
        raise ValueError("the held-out cost was never finite. Use a lower lr")
    prior.load_state_dict(best.state)


def _loader(prior: TrainedPrior, data: Posteriors, seed: int, shuffle: bool = False) -> DataLoader:
    rows = TensorDataset(data.mean, data.std, data.conditions)
    generator = torch.Generator().manual_seed(seed)
    order = RandomSampler(rows, generator=generator) if shuffle else range(len(rows))
    batches = BatchSampler(order, prior.batch_size, drop_last=False)
    return DataLoader(rows, sampler=batches, batch_size=None)
