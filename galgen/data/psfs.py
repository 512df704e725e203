"""The PSFs of a part's galaxies."""

import numpy as np
import torch
from torch import Tensor

from galgen.data.stamp_file import StampFile
from galgen.errors import GalgenError


class Psfs:
    """The PSFs of some galaxies, which may share them; read from the file, or kept in memory.

    Args:
        stamps: the stamp file.
        rows: the galaxies' rows in it, (N,).

    Raises:
        GalgenError: if the file has no PSFs.
    """

    def __init__(self, stamps: StampFile, rows: np.ndarray):
        if "psf" not in stamps.stacks:
            raise GalgenError(
                f"{stamps.path}: it has no PSFs, which model.psf_free=true or data.psf=true asks "
                "for. Give =false for both; generated galaxies are then blurred as the stamps are."
            )
        self.stamps = stamps
        index = stamps.columns.get("psf_index", np.arange(len(stamps)))
        self.index = torch.from_numpy(index[rows].astype(np.int64))
        self.table: Tensor | None = None
        """Each PSF once, (M, B, h, w), where they are in memory; `index` counts its rows then."""

    def take(self, positions: Tensor) -> Tensor:
        """Return the PSFs of the galaxies at positions (n,), (n, B, h, w) float32."""
        index = self.index[positions]
        return self._read(index) if self.table is None else self.table[index].float()

    def read_into_memory(self, dtype: torch.dtype) -> None:
        """Keep each PSF in memory once, in a type."""
        used, index = self.index.unique(return_inverse=True)
        self.table, self.index = self._read(used).to(dtype), index

    def move_to(self, device: torch.device) -> None:
        """Move PSFs that are in memory to a device."""
        self.table, self.index = self.table.to(device), self.index.to(device)

    def _read(self, rows: Tensor) -> Tensor:
        size = self.stamps.stacks["psf"][-1]
        return torch.from_numpy(self.stamps.read(rows.numpy(), size, "psf"))


def read_psfs(stamps: StampFile, rows: np.ndarray) -> np.ndarray:
    """Read the PSFs of galaxies from the file, each once.

    Args:
        stamps: the stamp file.
        rows: of the galaxies in it, (n,).

    Returns:
        (n, B, h, w), float32.
    """
    index = stamps.columns.get("psf_index", np.arange(len(stamps)))[rows].astype(int)
    used, place = np.unique(index, return_inverse=True)
    return stamps.read(used, stamps.stacks["psf"][-1], "psf")[place]
