"""Random numbers that belong to a galaxy: functions of (seed, stream, galaxy number) alone."""

import numpy as np
from scipy.special import ndtri

LATENT, REDSHIFT, POSTERIOR, CHOICE, MAGNITUDE, SIZE, TELESCOPE, ROW = range(8)
"""Streams of random numbers, by their use."""
LARGEST_SEED = 2**63 - 1


def uniform(seed: int, stream: int, start: int, n: int, width: int) -> np.ndarray:
    """Draw uniform numbers between 0 and 1, exclusive, for galaxies `start` to `start + n - 1`.

    A counter-based generator gives every galaxy its own stretch of the sequence.

    Source: Philox, Salmon et al. 2011.

    Args:
        seed: whole number from 0 to 2^63 - 1.
        stream: the use of the numbers.
        start: number of the first galaxy.
        n: number of galaxies.
        width: numbers for each.

    Returns:
        Array (n, width), float64.

    Raises:
        ValueError: if the seed, the start or the number is out of range.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed={seed}: it must be a whole number from 0 to {LARGEST_SEED}.")
    if start < 0 or n < 0:
        raise ValueError(f"galaxies {start} to {start + n - 1}: galaxy numbers start at 0")
    counts = -(-width // 4)  # a count of the Philox counter gives four numbers
    generator = np.random.Philox(key=(stream << 64) + seed, counter=start * counts)
    numbers = generator.random_raw(n * 4 * counts).reshape(n, 4 * counts)[:, :width]
    return ((numbers >> np.uint64(11)) + 0.5) * 2.0**-53


def standard_normal(seed: int, n: int, width: int, start: int = 0) -> np.ndarray:
    """Draw standard normal numbers (n, width) of galaxies, float32, by seed and number alone.

    Args:
        seed: whole number from 0.
        n: number of galaxies.
        width: numbers for each.
        start: number of the first galaxy.
    """
    return ndtri(uniform(seed, LATENT, start, n, width)).astype(np.float32)
