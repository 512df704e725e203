"""Crops, and random turns, flips and shifts of stamps, on the device, one batch at a time."""

import numpy as np
import torch
from torch import Tensor

from galgen.data.stamp_file import middle


class Augmentation:
    """Random symmetries and shifts of galaxies, functions of (seed, epoch, row) alone.

    Args:
        seed: seed of the draws.
        rows: number of rows in the stamp file.
        margin: largest shift, px.
    """

    def __init__(self, seed: int, rows: int, margin: int):
        self.seed, self.rows, self.margin = seed, rows, margin
        self.epoch: int | None = None

    def draw(self, epoch: int, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Draw the symmetry and the shift of galaxies in an epoch.

        Args:
            epoch: the epoch, from 0.
            index: rows of the galaxies in the stamp file, (N,).

        Returns:
            Codes (N,) for `dihedral`, and shifts (N, 2) for `crop`; None without a margin.
        """
        if epoch != self.epoch:
            rng = np.random.default_rng([self.seed, epoch, 1])
            symmetry = rng.integers(8, size=self.rows)
            shift = rng.integers(-self.margin, self.margin + 1, size=(self.rows, 2))
            self.epoch = epoch
            self.symmetry, self.shift = (
                torch.from_numpy(numbers).to(index.device) for numbers in (symmetry, shift)
            )
        return self.symmetry[index], self.shift[index] if self.margin else None


def crop(image: Tensor, size: int, shift: Tensor | None = None) -> Tensor:
    """Crop each image around its middle, or beside it.

    Args:
        image: (N, B, H, H).
        size: side of the crop, px.
        shift: (N, 2), rows and columns by which the galaxy moves; 0 where None.

    Returns:
        Images (N, B, size, size).
    """
    window = middle(image.shape[-1], size)
    if shift is None:
        return image[..., window, window]
    steps = torch.arange(window.start, window.stop, device=image.device)
    rows, columns = (steps - shift[:, axis, None] for axis in (0, 1))
    galaxy = torch.arange(len(image), device=image.device)[:, None, None, None]
    band = torch.arange(image.shape[1], device=image.device)[:, None, None]
    return image[galaxy, band, rows[:, None, :, None], columns[:, None, None, :]]


def dihedral(image: Tensor, code: Tensor) -> Tensor:
    """Flip and turn each image by one of the eight symmetries of the square.

    Args:
        image: (N, B, H, H).
        code: (N,), integers 0 to 7; bits 1, 2 and 4 flip rows, flip columns and transpose.

    Returns:
        Images (N, B, H, H).
    """
    code = code[:, None, None, None]
    image = torch.where((code & 1).bool(), image.flip(-2), image)
    image = torch.where((code & 2).bool(), image.flip(-1), image)
    return torch.where((code & 4).bool(), image.transpose(-2, -1), image)
