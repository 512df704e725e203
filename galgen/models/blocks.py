"""Galaxies computed in blocks that are aligned to their numbers.

The last bits of a convolution depend on the batch size, and may depend on the number of threads;
galaxy i must depend on neither.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

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
    n = len(columns[0])
    if not n:
        return make(*(column.new_zeros(1, *column.shape[1:]) for column in columns))[:0]

    def rows_of(first: int) -> Tensor:
        wanted = slice(max(first, 0), min(first + block, n))
        place = slice(wanted.start - first, wanted.stop - first)
        full = [column.new_zeros(block, *column.shape[1:]) for column in columns]
        for filled, column in zip(full, columns, strict=True):
            filled[place] = column[wanted]
        return make(*full)[place]

    firsts = range(-(start % block), n, block)
    if columns[0].device.type == "cpu":
        return torch.cat(_on_one_core_each(rows_of, firsts))
    return torch.cat([rows_of(first) for first in firsts])


def _on_one_core_each(rows_of: Callable[[int], Tensor], firsts: Sequence[int]) -> list[Tensor]:
    """Make blocks side by side, one a core, which takes less time than each on all cores."""
    grad, threads = torch.is_grad_enabled(), torch.get_num_threads()

    def alone(first: int) -> Tensor:
        with torch.set_grad_enabled(grad):  # a setting of each thread
            return rows_of(first)

    try:
        with ThreadPoolExecutor(threads, "block", torch.set_num_threads, (1,)) as pool:
            return list(pool.map(alone, firsts))
    finally:
        torch.set_num_threads(threads)  # which threads that begin later take over
