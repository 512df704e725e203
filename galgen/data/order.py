"""The order in which the galaxies of a part come, epoch by epoch."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from galgen.data.batch import Share


class EpochBatches(Sampler[tuple[Tensor, Share]]):
    """Positions of each batch; the order is a function of (seed, epoch) alone.

    Args:
        n: number of stamps.
        batch_size: stamps in a batch, on each rank.
        seed: seed of the order.
        shuffle: whether there is an order other than 0 to n - 1.
        rank: number of this process.
        ranks: number of processes; each takes every ranks-th stamp of a common batch.
        sharded: whether a rank gets none but every ranks-th stamp of the part in all epochs.
        device: where the positions are, copied there once an epoch.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        ranks: int = 1,
        sharded: bool = False,
        device: torch.device | str = "cpu",
    ):
        self.device = device
        self.n, self.seed, self.shuffle = n, seed, shuffle
        self.rank, self.ranks, self.shards = rank, ranks, ranks if sharded else 1
        self.together = batch_size * ranks
        self.epoch, self.first = 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next (Lightning calls this)."""
        if epoch != self.epoch:
            self.epoch, self.first = epoch, 0

    def go_on(self, epoch: int, batches: int) -> None:
        """Go on in an epoch of which some batches have been given."""
        ended = batches >= len(self)
        self.epoch, self.first = (epoch + 1, 0) if ended else (epoch, batches)

    def __len__(self) -> int:
        return -(-self.n // self.together)

    def __iter__(self) -> Iterator[tuple[Tensor, Share]]:
        order = np.arange(self.n)
        if self.shuffle:
            rng = np.random.default_rng([self.seed, self.epoch])
            for shard in range(self.shards):
                rng.shuffle(order[shard :: self.shards])
        for batch in torch.from_numpy(order).to(self.device).split(self.together)[self.first :]:
            share = batch[self.rank :: self.ranks]
            # A last batch of fewer stamps than ranks: all ranks must take part in a step.
            yield share if len(share) else self._any(), Share(self.rank, self.ranks, len(batch))

    def _any(self) -> Tensor:
        """Return the position of a stamp that the rank has."""
        return torch.tensor([self.rank % self.n], device=self.device)
