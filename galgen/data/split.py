"""The split of a survey into its parts."""

import logging
from collections.abc import Sequence

import numpy as np

from galgen.data.stamp_file import StampFile
from galgen.errors import GalgenError

log = logging.getLogger(__name__)

PARTS = ("train", "val", "test")


def check_shares(shares: Sequence[float]) -> None:
    """Check the shares of the parts.

    Raises:
        ValueError: if they are not three that sum to 1, the first two positive.
    """
    several = not isinstance(shares, float | int) and len(shares) == len(PARTS)
    if not several or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6 or min(shares[:2]) == 0:
        raise ValueError(
            f"data.split={shares}: it takes three shares (train, val, test) that sum to 1, the "
            "first two positive."
        )


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


def parents_of(stamps: StampFile) -> np.ndarray:
    """Return the id of each stamp's parent galaxy, (N,); of a file without ids, its row."""
    return stamps.columns.get("galaxy_id", np.arange(len(stamps)))


def split_stamps(stamps: StampFile, fractions: Sequence[float], seed: int) -> dict[str, np.ndarray]:
    """Split a stamp file by parent galaxy, as `split_by_parent` does.

    Raises:
        GalgenError: if there are fewer galaxies than parts.
    """
    if "galaxy_id" not in stamps.columns:
        log.warning(
            "%s has no galaxy ids: if it holds augmented copies of one galaxy, they may stand "
            "on both sides of the split",
            stamps.path,
        )
    parents = parents_of(stamps)
    galaxies = len(np.unique(parents))
    if galaxies < len(PARTS) <= len(stamps):
        raise GalgenError(
            f"{stamps.path}: 'galaxy_id' has {galaxies} different values in all stamps, and a "
            f"split needs {len(PARTS)} galaxies. Give each galaxy its own id."
        )
    return split_by_parent(parents, fractions, seed)
