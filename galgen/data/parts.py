"""Parts of a survey: which rows are in them, what a batch holds, in which order batches come."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from galgen.data.stamps import StampFile
from galgen.errors import GalgenError

PARTS = ("train", "val", "test")


@dataclass
class Batch:
    """A batch of N galaxies as models and likelihoods see it."""

    image: Tensor
    """(N, H, W), float32."""
    index: Tensor
    """(N,), row in the stamp file."""
    redshift: Tensor | None = None
    """(N,)"""
    noise_variance: Tensor | None = None
    """(N,), variance of a pixel's noise, in the file's unit squared."""
    background: Tensor | None = None
    """(N,), level that the peak transform subtracts, in the file's unit."""
    psf: Tensor | None = None
    """(N, h, w), sums to 1."""
    weight: Tensor | None = None
    """(N, H, W), 0 where a pixel is not to count, else 1."""

    def pin_memory(self) -> "Batch":
        """Move the tensors to memory that a GPU reads on its own."""
        tensors = {name: value for name, value in vars(self).items() if value is not None}
        return Batch(**{name: tensor.pin_memory() for name, tensor in tensors.items()})


class Part(Dataset):
    """One part of a survey; indexed by a tensor of positions, it gives a whole batch.

    Args:
        stamps: the stamp file.
        rows: the part's rows in it, ascending.
        image_size: side of the crop, px.
        psf: whether batches have the PSFs.

    Raises:
        GalgenError: if the PSFs are wanted and the file has none.
    """

    def __init__(self, stamps: StampFile, rows: np.ndarray, image_size: int, psf: bool = False):
        self.stamps, self.rows = stamps, rows
        self.stacks = {name: image_size for name in ("image", "weight") if name in stamps.stacks}
        self.index = torch.from_numpy(rows)
        self.columns = {
            name: torch.from_numpy(stamps.columns[name][rows].astype(np.float32))
            for name in ("redshift", "noise_variance", "background")
            if name in stamps.columns
        }
        self.psf_index = self._psf_index() if psf else None
        self.cached: dict[str, Tensor] = {}
        """Stacks in memory: a row a galaxy, but of PSFs a row for each that differs."""
        self.place = torch.arange(len(rows))
        """Rows of the galaxies in them."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: Tensor) -> Batch:
        positions = positions.to(self.index.device)
        columns = {name: column[positions] for name, column in self.columns.items()}
        stacks = {name: self._stack(name, positions) for name in self.stacks}
        if self.psf_index is not None:
            stacks["psf"] = self._psf(self.psf_index[positions])
        return Batch(index=self.index[positions], **columns, **stacks)

    def allocate(self, dtype: torch.dtype) -> None:
        """Make room for the stacks in memory, in a type, and read the PSFs."""
        for name, size in self.stacks.items():
            self.cached[name] = torch.empty((len(self), size, size), dtype=dtype)
        if self.psf_index is not None:
            used, place = self.psf_index.unique(return_inverse=True)
            self.cached["psf"], self.psf_index = self._psf(used).to(dtype), place

    def fill(self, name: str, start: int, block: np.ndarray) -> None:
        """Take what belongs to the part out of a block of the file.

        Args:
            name: which of the stacks.
            start: row of the file that the block begins at.
            block: images of n rows, (n, H, W).

        Raises:
            GalgenError: if pixels are too bright for the cache's type.
        """
        first, last = np.searchsorted(self.rows, [start, start + len(block)])
        edge = (block.shape[1] - self.stacks[name]) // 2
        middle = slice(edge, edge + self.stacks[name])
        here = block[self.rows[first:last] - start, middle, middle]
        self.cached[name][first:last] = torch.from_numpy(here)
        if not self.cached[name][first:last].isfinite().all():
            raise GalgenError(
                f"{self.stamps.path}: pixels are beyond the range of float16, {block.max():.3g}; "
                "give data.cache_dtype=float32"
            )

    def keep(self, chosen: np.ndarray) -> None:
        """Keep some of the galaxies, (N,) of booleans; what is cached stays as it is."""
        self.rows, chosen = self.rows[chosen], torch.from_numpy(chosen)
        self.index, self.place = self.index[chosen], self.place[chosen]
        self.columns = {name: column[chosen] for name, column in self.columns.items()}
        if self.psf_index is not None:
            self.psf_index = self.psf_index[chosen]

    def move_to(self, device: torch.device) -> None:
        """Move cached stacks and columns to a device."""
        if self.cached:
            self.cached = {name: stack.to(device) for name, stack in self.cached.items()}
            self.columns = {name: column.to(device) for name, column in self.columns.items()}
            self.index, self.place = self.index.to(device), self.place.to(device)
            if self.psf_index is not None:
                self.psf_index = self.psf_index.to(device)

    def _stack(self, name: str, positions: Tensor) -> Tensor:
        if self.cached:
            return self.cached[name][self.place[positions]]
        rows = self.rows[positions.numpy()]  # a tensor of one number would index as that number
        return torch.from_numpy(self.stamps.read(rows, self.stacks[name], name))

    def _psf(self, rows: Tensor) -> Tensor:
        if "psf" in self.cached:
            return self.cached["psf"][rows]
        return torch.from_numpy(self.stamps.read(rows.numpy(), self.stamps.stacks["psf"][1], "psf"))

    def _psf_index(self) -> Tensor:
        if "psf" not in self.stamps.stacks:
            raise GalgenError(f"{self.stamps.path} has no PSFs, which data.psf=true asks for")
        index = self.stamps.columns.get("psf_index", np.arange(len(self.stamps)))
        return torch.from_numpy(index[self.rows].astype(np.int64))


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
