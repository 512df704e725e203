"""Trainings of priors: a few steps, and by Lightning."""

import pytorch_lightning as pl
import torch
from torch import Tensor

from galgen.priors.base import Posteriors
from galgen.priors.trained import TrainedPrior
from galgen.training.prior_training import train_prior


def learn(prior: TrainedPrior, *batch: Tensor, steps: int = 200, lr: float = 1e-2) -> None:
    """Take training steps on 256 rows of [mean, std, conditions]; leave it in eval mode."""
    optimizer = torch.optim.Adam(prior.parameters(), lr)
    for _ in range(steps):
        optimizer.zero_grad()
        rows = torch.randint(len(batch[0]), (256,))
        prior.training_cost([column[rows] for column in batch], None).backward()
        optimizer.step()
    prior.eval().requires_grad_(False)


def trainer(prior: TrainedPrior, train: Posteriors, val: Posteriors, seed: int) -> None:
    """Train a prior as `Prior.fit` asks for, without showing it."""
    quiet = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar"], False)
    quiet |= {"enable_model_summary": False, "num_sanity_val_steps": 0, "accelerator": "cpu"}

    def make_trainer(max_epochs: int, callbacks: list[pl.Callback]) -> pl.Trainer:
        return pl.Trainer(max_epochs=max_epochs, callbacks=callbacks, **quiet)

    train_prior(prior, train, val, seed, make_trainer)
