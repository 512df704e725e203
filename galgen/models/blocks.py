"""Galaxies computed in blocks that are aligned to their numbers.

The last bits of a convolution depend on the batch size, and galaxy i must not depend on the others.
"""

from collections.abc import Callable

import torch
from torch import Tensor

DECODE_BLOCK = 16
"""Galaxies decoded at a time; they stay in a CPU's cache."""
DECODE_BLOCK_GPU = 256
"""Galaxies decoded at a time where fewer would leave most of the device idle."""
LATENT_BLOCK = 64
"""Latents made at a time; whoever asks for a few galaxies does not wait for many."""
LATENT_BLOCK_GPU = 1024
"""Latents made at a time where fewer would leave most of the device idle."""


def decode_block(device: torch.device) -> int:
    """Return how many galaxies are decoded at a time on a device."""
    return DECODE_BLOCK if device.type == "cpu" else DECODE_BLOCK_GPU


def latent_block(device: torch.device) -> int:
    """Return how many latents are made at a time on a device."""
    return LATENT_BLOCK if device.type == "cpu" else LATENT_BLOCK_GPU


def in_blocks(make: Callable, block: int, start: int, *columns: Tensor) -> Tensor:
    """Make rows in blocks that are aligned to the galaxy number, and always full.

    Args:
        make: maps columns, (block, ...) each, to rows (block, ...).
        block: rows in a block.
        start: number of the first galaxy.
        *columns: (n, ...) each, on one device.

    Returns:
        Rows (n, ...).
    """
    n, before, made = len(columns[0]), start % block, []
    for first in range(-before, n, block):
        wanted = slice(max(first, 0), min(first + block, n))
        place = slice(wanted.start - first, wanted.stop - first)
        full = [column.new_zeros(block, *column.shape[1:]) for column in columns]
        for filled, column in zip(full, columns, strict=True):
            filled[place] = column[wanted]
        made.append(make(*full)[place])
    return torch.cat(made) if made else make(*(c.new_zeros(1, *c.shape[1:]) for c in columns))[:0]
