"""Parts of a survey: which rows are in them, what a batch holds, in which order batches come."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from galgen.data.stamps import Batch, StampFile

PARTS = ("train", "val", "test")


class Part(Dataset):
    """One part of a survey; indexed by a tensor of positions, it gives a whole batch.

    Args:
        stamps: the stamp file.
        rows: the part's rows in it, ascending.
        image_size: side of the crop, px.
    """

    def __init__(self, stamps: StampFile, rows: np.ndarray, image_size: int):
        self.stamps, self.rows, self.image_size = stamps, rows, image_size
        self.images: Tensor | None = None
        self.index = torch.from_numpy(rows)
        self.columns = {
            name: torch.from_numpy(stamps.columns[name][rows].astype(np.float32))
            for name in ("redshift", "noise_variance", "background")
            if name in stamps.columns
        }

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: Tensor) -> Batch:
        positions = positions.to(self.index.device)
        if self.images is not None:
            image = self.images[positions]
        else:
            image = torch.from_numpy(self.stamps.read(self.rows[positions], self.image_size))
        columns = {name: column[positions] for name, column in self.columns.items()}
        return Batch(image=image, index=self.index[positions], **columns)

    def move_to(self, device: torch.device) -> None:
        """Move cached images and columns to a device."""
        if self.images is not None:
            self.images, self.index = self.images.to(device), self.index.to(device)
            self.columns = {name: column.to(device) for name, column in self.columns.items()}


class EpochBatches(Sampler[Tensor]):
    """Positions of each batch; the order is a function of (seed, epoch) alone.

    Args:
        n: number of stamps.
        batch_size: stamps in a batch, on each rank.
        seed: seed of the order.
        shuffle: whether there is an order other than 0 to n - 1.
        rank: number of this process.
        ranks: number of processes; each takes every ranks-th stamp of a common batch.
    """

    def __init__(
        self, n: int, batch_size: int, seed: int, shuffle: bool, rank: int = 0, ranks: int = 1
    ):
        self.n, self.batch_size, self.seed, self.shuffle = n, batch_size, seed, shuffle
        self.rank, self.ranks, self.epoch = rank, ranks, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next (Lightning calls this)."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.n // (self.batch_size * self.ranks))

    def __iter__(self) -> Iterator[Tensor]:
        order = np.arange(self.n)
        if self.shuffle:
            np.random.default_rng([self.seed, self.epoch]).shuffle(order)
        for batch in torch.from_numpy(order).split(self.batch_size * self.ranks):
            share = batch[self.rank :: self.ranks]
            # A last batch of fewer stamps than ranks: all ranks must take part in a step.
            yield share if len(share) else batch[:1]


def split_by_parent(
    parents: np.ndarray, fractions: Sequence[float], seed: int
) -> dict[str, np.ndarray]:
    """Split rows into train, val and test so that no parent galaxy is in two of them.

    Args:
        parents: id of each row's parent galaxy, (N,).
        fractions: share of the parents in each part.
        seed: seed of the split.

    Returns:
        Ascending row numbers of each part.
    """
    unique, inverse = np.unique(parents, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(unique))
    bounds = np.rint(np.cumsum(fractions) * len(unique)).astype(int)
    part_of_parent = np.empty(len(unique), int)
    for number, chosen in enumerate(np.split(shuffled, bounds[:2])):
        part_of_parent[chosen] = number
    part_of_row = part_of_parent[inverse]
    return {part: np.flatnonzero(part_of_row == number) for number, part in enumerate(PARTS)}
