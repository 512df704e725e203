"""Parts of a survey: which rows are in them, what a batch holds, in which order batches come."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from galgen.data.share import Share
from galgen.data.stamp_file import StampFile
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
    noise: Tensor | None = None
    """(N,), standard deviation of a pixel, in the file's unit; its square may be beyond float32."""
    noise_variance: Tensor | None = None
    """(N,), of a pixel on the model's scale, after the transform."""
    background: Tensor | None = None
    """(N,), level that the peak transform subtracts, in the file's unit."""
    psf: Tensor | None = None
    """(N, h, w), sums to 1."""
    weight: Tensor | None = None
    """(N, H, W), 0 where a pixel is not to count, else 1."""
    share: Share | None = None
    """What this process has of the batch; all of it where it is not said."""

    def __post_init__(self):
        if self.share is None:
            self.share = Share(0, 1, len(self.index))

    def pin_memory(self) -> "Batch":
        """Move the tensors to memory that a GPU reads on its own."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: tensor.pin_memory() for name, tensor in tensors.items()})


class Part(Dataset):
    """One part of a survey; indexed by what `EpochBatches` gives, it gives a whole batch.

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
            for name in ("redshift", "background")
            if name in stamps.columns
        }
        if "noise_variance" in stamps.columns:
            variance = stamps.columns["noise_variance"][rows].astype(float)
            noise = np.sqrt(np.where(variance >= 0, variance, np.nan))
            self.columns["noise"] = torch.from_numpy(noise.astype(np.float32))
        self.psf_index = self._psf_index() if psf else None
        self.cached: dict[str, Tensor] = {}
        """Stacks in memory: a row a galaxy, but of PSFs a row for each that differs."""
        self.place = torch.arange(len(rows))
        """Rows of the galaxies in them, -1 where another process has them."""
        self.unit = 1.0
        """Of cached images, in the stamp file's."""
        self.sharded = False
        """Whether other processes have some of the galaxies."""
        self.moved: tuple = ()
        """Where to, and for which of how many processes."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: tuple[Tensor, Share]) -> Batch:
        positions, share = item
        return replace(self._batch(positions, bool(self.cached)), share=share)

    def batch(self, positions: Tensor) -> Batch:
        """Return the galaxies at positions (N,) of the part, whichever process has them."""
        positions = positions.to(self.index.device)
        here = bool(self.cached) and not (self.sharded and (self.place[positions] < 0).any())
        return self._batch(positions, here)

    def _batch(self, positions: Tensor, from_memory: bool) -> Batch:
        columns = {name: column[positions] for name, column in self.columns.items()}
        stacks = {name: self._stack(name, positions, from_memory) for name in self.stacks}
        if self.psf_index is not None:
            stacks["psf"] = self._psf(self.psf_index[positions])
        return Batch(index=self.index[positions], **columns, **stacks)

    def allocate(self, dtype: torch.dtype, noise: float) -> None:
        """Make room for the stacks in memory, in a type, and read the PSFs.

        Args:
            dtype: float32, or float16, whose range holds images in units of the noise.
            noise: typical noise of a pixel, in the stamp file's unit.
        """
        if dtype == torch.float16:
            self.unit = 2.0 ** round(math.log2(noise))  # which rounds nothing
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
        if name == "image":
            here = here / np.float32(self.unit)
        self.cached[name][first:last] = torch.from_numpy(here)
        if not self.cached[name][first:last].isfinite().all():
            raise GalgenError(
                f"data.cache_dtype=float16: pixels of {self.stamps.path} are too bright for it, "
                f"{here.max():.3g} times the noise. Use data.cache_dtype=float32"
            )

    def keep(self, chosen: np.ndarray) -> None:
        """Keep some of the galaxies, (N,) of booleans; what is cached stays as it is."""
        self.rows, chosen = self.rows[chosen], torch.from_numpy(chosen)
        self.index, self.place = self.index[chosen], self.place[chosen]
        self.columns = {name: column[chosen] for name, column in self.columns.items()}
        if self.psf_index is not None:
            self.psf_index = self.psf_index[chosen]

    def move_to(self, device: torch.device, rank: int = 0, ranks: int = 1) -> None:
        """Move cached stacks and columns to a device; of the images, what the rank needs.

        Args:
            device: where to.
            rank: number of this process.
            ranks: number of processes; each holds the images of every ranks-th galaxy.

        Raises:
            GalgenError: if they do not fit there.
        """
        if self.cached and self.moved != (device, rank, ranks):
            own = torch.arange(len(self))[rank::ranks]
            for name in self.stacks:
                self.cached[name] = self.cached[name][self.place[own]]
            self.place = torch.full((len(self),), -1)
            self.place[own] = torch.arange(len(own))
            self.sharded = ranks > 1
            try:
                self.cached = {name: stack.to(device) for name, stack in self.cached.items()}
            except torch.OutOfMemoryError as error:
                raise GalgenError(
                    "the survey does not fit into the memory of the device; give data.cache=ram, "
                    "or data.cache_dtype=float16, for half the size"
                ) from error
            self.columns = {name: column.to(device) for name, column in self.columns.items()}
            self.index, self.place = self.index.to(device), self.place.to(device)
            if self.psf_index is not None:
                self.psf_index = self.psf_index.to(device)
            self.moved = device, rank, ranks

    def _stack(self, name: str, positions: Tensor, from_memory: bool) -> Tensor:
        if from_memory:
            stack = self.cached[name][self.place[positions]]
            return stack.float() * self.unit if name == "image" and self.unit != 1 else stack
        # As a tensor, one position would index as that number.
        rows = self.rows[positions.cpu().numpy()]
        stack = torch.from_numpy(self.stamps.read(rows, self.stacks[name], name))
        return stack.to(self.index.device)

    def _psf(self, rows: Tensor) -> Tensor:
        if "psf" in self.cached:
            return self.cached["psf"][rows]
        return torch.from_numpy(self.stamps.read(rows.numpy(), self.stamps.stacks["psf"][1], "psf"))

    def _psf_index(self) -> Tensor:
        if "psf" not in self.stamps.stacks:
            raise GalgenError(f"{self.stamps.path} has no PSFs, which data.psf=true asks for")
        index = self.stamps.columns.get("psf_index", np.arange(len(self.stamps)))
        return torch.from_numpy(index[self.rows].astype(np.int64))


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
