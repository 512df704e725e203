"""Stamps in memory, on the CPU or on a device, which processes may divide among themselves."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from galgen.errors import GalgenError


class Cache:
    """The stamps of a part in memory.

    Args:
        names: stacks that are kept, `image` among them.
        galaxies: their number.
        size: side of the stamps, px.
        dtype: float32, or float16, whose range holds images in units of the noise.
        noise: typical noise of a pixel in each band, in the stamp file's unit, (B,).
    """

    def __init__(
        self, names: Iterable[str], galaxies: int, size: int, dtype: torch.dtype, noise: np.ndarray
    ):
        shape = (galaxies, len(noise), size, size)
        self.stacks = {name: torch.empty(shape, dtype=dtype) for name in names}
        half = dtype == torch.float16
        unit = 2.0 ** np.log2(noise).round() if half else None  # a power of 2 rounds nothing
        self.unit = None if unit is None else torch.from_numpy(unit.astype(np.float32))
        """Of the images in each band, in the stamp file's, (B,); None where it is that."""
        self.rank, self.ranks = 0, 1

    def fill(self, name: str, first: int, stamps: np.ndarray) -> None:
        """Take the stamps (n, B, H, W) of galaxies from number `first` on.

        Raises:
            GalgenError: if pixels are too bright for the cache's type.
        """
        if name == "image" and self.unit is not None:
            stamps = stamps / self.unit.numpy()[:, None, None]
        filled = self.stacks[name][first : first + len(stamps)]
        filled.copy_(torch.from_numpy(stamps))
        if not filled.isfinite().all():
            raise GalgenError(
                "data.cache_dtype=float16: pixels of the survey are too bright for it, "
                f"{stamps.max():.3g} times the noise. Use data.cache_dtype=float32."
            )

    def holds(self, positions: Tensor) -> bool:
        """Tell whether this process has the galaxies at positions (n,) of the part."""
        return self.ranks == 1 or bool((positions % self.ranks == self.rank).all())

    def take(self, name: str, positions: Tensor) -> Tensor:
        """Return stamps at positions (n,) that this process has, in the file's unit, float32."""
        stamps = self.stacks[name][positions // self.ranks].float()
        if name != "image" or self.unit is None:
            return stamps
        return stamps * self.unit.to(stamps.device)[:, None, None]

    def move_to(self, device: torch.device, rank: int, ranks: int) -> None:
        """Move every ranks-th galaxy, from number `rank` on, to a device; drop the others.

        Raises:
            GalgenError: if they do not fit there.
        """
        if self.ranks != ranks:
            self.stacks = {name: own[rank::ranks].clone() for name, own in self.stacks.items()}
            self.rank, self.ranks = rank, ranks
        try:
            self.stacks = {name: stack.to(device) for name, stack in self.stacks.items()}
        except torch.OutOfMemoryError as error:
            raise GalgenError(
                "data.cache=device: the survey does not fit into the memory of the device. Use "
                "data.cache=ram, or data.cache_dtype=float16 for half the size."
            ) from error
