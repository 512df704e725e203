"""The PSFs of a part's galaxies."""

import numpy as np
import torch
from torch import Tensor

from galgen.data.stamp_file import StampFile
from galgen.errors import GalgenError

LEAK = 0.1
"""How far the sum of a PSF may be from 1: a small stamp cuts its wings off."""


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
        return torch.from_numpy(_read(self.stamps, rows.numpy()))


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
    return _read(stamps, used)[place]


def _read(stamps: StampFile, rows: np.ndarray) -> np.ndarray:
    """Read PSFs by their rows (n,), (n, B, h, w), h and w odd: a flip keeps their centre then.

    Raises:
        GalgenError: if one does not keep the light: its sum is not 1.
    """
    psfs = stamps.read(rows, stamps.stacks["psf"][-1], "psf")
    total = psfs.sum(axis=(2, 3), dtype=float)
    keeps = np.abs(total - 1) < LEAK
    if len(stamps.bands) > 1:
        keeps |= total == 0  # of a band that a galaxy lacks
    if not keeps.all():
        bad, band = np.argwhere(~keeps)[0]
        raise GalgenError(
            f"{stamps.path}: {np.count_nonzero(~keeps.all(axis=1))} of {len(rows)} PSFs do not sum "
            f"to 1; that in row {rows[bad]} sums to {total[bad, band]:.4g}. Divide each PSF by its "
            "sum."
        )
    more = [(0, 0), (0, 0), *((0, 1 - side % 2) for side in psfs.shape[2:])]
    return np.pad(psfs, more)
