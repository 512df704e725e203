"""A short training, without a trainer around it."""

import torch
from torch import Tensor

from galgen.priors.trained import TrainedPrior


def learn(prior: TrainedPrior, *batch: Tensor, steps: int = 200, lr: float = 1e-2) -> None:
    """Take training steps on 256 rows of [mean, std, conditions]; leave it in eval mode."""
    prior.log = lambda *_, **__: None  # which needs a trainer
    optimizer = torch.optim.Adam(prior.parameters(), lr)
    for step in range(steps):
        optimizer.zero_grad()
        rows = torch.randint(len(batch[0]), (256,))
        prior.training_step([column[rows] for column in batch], step).backward()
        optimizer.step()
    prior.eval().requires_grad_(False)
