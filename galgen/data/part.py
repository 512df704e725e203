"""The parts of a survey: which galaxies are in them, and where their stamps are read from."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from galgen.data.batch import Batch, Share
from galgen.data.cache import Cache
from galgen.data.noise_correlation import symmetric
from galgen.data.psfs import Psfs
from galgen.data.stamp_file import StampFile, known_redshifts

READ_BLOCK = 256
"""Stamps read at a time when a survey is cached."""


class Part(Dataset):
    """One part of a survey; indexed by what `EpochBatches` gives, it gives a whole batch.

    Args:
        stamps: the stamp file.
        rows: the part's rows in it, ascending.
        size: side of the crop, px.
        psf: whether batches have the PSFs.
        turned: whether its stamps are flipped and turned at random, so that their noise has the
            mean correlation of all directions.

    Attributes:
        cache: the stamps in memory; None where they are read from disk.

    Raises:
        GalgenError: if the PSFs are wanted and the file has none.
    """

    def __init__(
        self,
        stamps: StampFile,
        rows: np.ndarray,
        size: int,
        psf: bool = False,
        turned: bool = False,
    ):
        self.stamps, self.rows, self.size = stamps, rows, size
        self.stacks = [name for name in ("image", "weight") if name in stamps.stacks]
        self.index = torch.from_numpy(rows)
        self.columns: dict[str, Tensor] = {}
        if "redshift" in stamps.columns:
            known = known_redshifts(stamps.columns["redshift"][rows])
            self.columns["redshift"] = torch.from_numpy(known)
        if "background" in stamps.columns:
            background = stamps.columns["background"][rows].astype(np.float32)
            self.columns["background"] = torch.from_numpy(background)
        if "noise_variance" in stamps.columns:
            variance = stamps.columns["noise_variance"][rows].astype(float)
            # Of a band that a galaxy lacks, any noise does: its pixels have weight 0.
            variance = np.where(stamps.has_band[rows], variance, 1.0)
            noise = np.sqrt(np.where(variance >= 0, variance, np.nan))
            self.columns["noise"] = torch.from_numpy(noise.astype(np.float32))
        self.noise_correlation: Tensor | None = None
        if stamps.noise_correlation is not None:
            table = stamps.noise_correlation
            self.noise_correlation = torch.from_numpy(symmetric(table) if turned else table)
        self.psfs = Psfs(stamps, rows) if psf else None
        self.cache: Cache | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: tuple[Tensor, Share]) -> Batch:
        positions, share = item
        return replace(self._batch(positions, self.cache is not None), share=share)

    def batch(self, positions: Tensor) -> Batch:
        """Return the galaxies at positions (N,) of the part, whichever process has them."""
        positions = positions.to(self.index.device)
        return self._batch(positions, self.cache is not None and self.cache.holds(positions))

    def move_to(self, device: torch.device, rank: int = 0, ranks: int = 1) -> None:
        """Move what is in memory to a device; of the stamps, those that the rank needs.

        Args:
            device: where to.
            rank: number of this process.
            ranks: number of processes; each holds the stamps of every ranks-th galaxy.

        Raises:
            GalgenError: if they do not fit there.
        """
        if self.cache is None:
            return
        self.cache.move_to(device, rank, ranks)
        if self.psfs is not None:
            self.psfs.move_to(device)
        self.columns = {name: column.to(device) for name, column in self.columns.items()}
        if self.noise_correlation is not None:
            self.noise_correlation = self.noise_correlation.to(device)
        self.index = self.index.to(device)

    def _batch(self, positions: Tensor, in_memory: bool) -> Batch:
        columns = {name: column[positions] for name, column in self.columns.items()}
        read = self.cache.take if in_memory else self._read
        stacks = {name: read(name, positions) for name in self.stacks}
        if self.psfs is not None:
            stacks["psf"] = self.psfs.take(positions)
        survey = {"noise_correlation": self.noise_correlation}
        return Batch(index=self.index[positions], **columns, **stacks, **survey)

    def _read(self, name: str, positions: Tensor) -> Tensor:
        # As a tensor, one position would index as that number.
        rows = self.rows[positions.cpu().numpy()]
        stamps = torch.from_numpy(self.stamps.read(rows, self.size, name))
        return stamps.to(self.index.device)


def gigabytes(parts: Sequence[Part], dtype: torch.dtype) -> float:
    """Return how much memory parts of a survey take, in a type."""
    stamps = parts[0].stamps
    bands = len(stamps.bands)
    pixels = sum(len(part) * bands * part.size**2 * len(part.stacks) for part in parts)
    if parts[0].psfs is not None:
        pixels += np.prod(stamps.stacks["psf"], dtype=float)
    return pixels * dtype.itemsize / 1e9


def read_into_memory(parts: Sequence[Part], dtype: torch.dtype, noise: np.ndarray) -> None:
    """Read parts of one survey into memory, in one pass through its file.

    Args:
        parts: with stamps of one size.
        dtype: float32 or float16.
        noise: typical noise of a pixel in each band, in the stamp file's unit, (B,).

    Raises:
        GalgenError: if pixels are not finite, or too bright for the type.
    """
    stamps, size, names = parts[0].stamps, parts[0].size, parts[0].stacks
    for part in parts:
        part.cache = Cache(names, len(part), size, dtype, noise)
        if part.psfs is not None:
            part.psfs.read_into_memory(dtype)
    for name in names:
        for start in range(0, len(stamps), READ_BLOCK):
            block = stamps.read(slice(start, start + READ_BLOCK), size, name)
            for part in parts:
                first, last = np.searchsorted(part.rows, [start, start + len(block)])
                part.cache.fill(name, first, block[part.rows[first:last] - start])
    stamps.close()
