"""What every source of stamps has in common."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

SHARDS = 64
"""Files that a survey is written in, at most."""


class Source(ABC):
    """Where a survey's stamps come from: candidates by number, each drawn from its number alone.

    Args:
        shards: files that the survey is written in.
        shard: the only one to prepare, from 0; all, and the file that joins them, where None.
        processes: processes that draw; all cores where None. The stamps do not depend on it.

    Attributes:
        notes: sentences about the survey for the user, as `open` found them.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self, shards: int = SHARDS, shard: int | None = None, processes: int | None = None
    ):
        if shards < 1:
            raise ValueError(f"prepare.shards={shards}: it must be positive.")
        if shard is not None and not 0 <= shard < shards:
            raise ValueError(f"prepare.shard={shard}: there are shards 0 to {shards - 1}.")
        if processes is not None and processes < 1:
            raise ValueError(f"prepare.processes={processes}: it must be positive.")
        self.shards, self.shard, self.processes = shards, shard, processes
        self.notes: list[str] = []

    def open(self) -> None:
        """Read catalogues and find the candidates; the object can be pickled before and after.

        Raises:
            GalgenError: if that cannot be done.
        """

    def inputs(self) -> list[Path]:
        """Return the user's files that the stamps are made of, once it is open."""
        return []

    def given(self) -> str | None:
        """Return the key and value that name these files, `<key>=<value>`; None without one."""
        return None

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of candidates, once it is open."""

    @abstractmethod
    def attrs(self) -> dict:
        """Return the stamp file's attributes.

        Returns:
            `survey`, `bands` (names), `unit`, `pixel_scale` (arcsec), `zero_point` (AB magnitude of
            one unit in each band) where known, `recipe` (a sentence that changes with whatever the
            stamps depend on), `source_files` (JSON, sha256 by file name), `versions`.
        """

    def stamp_bytes(self) -> int:
        """Return about how many bytes a candidate takes in the file; 0 where that is not known."""
        return 4 * getattr(self, "image_size", 0) ** 2

    def satisfied_by(self, recipe: str | None) -> bool:
        """Tell whether a stamp file of some recipe holds what this source would make."""
        return recipe == self.attrs()["recipe"]

    def tables(self) -> dict[str, np.ndarray]:
        """Return shared tables: `psf` (M, h, w), if `psf_index` is among the columns."""
        return {}

    def review(self, columns: dict[str, np.ndarray]) -> None:
        """Add notes on the stamps that are made, by their columns in the stamp file."""

    def start_worker(self) -> None:
        """Make a process ready to draw."""

    @abstractmethod
    def draw(self, numbers: range) -> tuple[dict[str, np.ndarray], dict[int, str]]:
        """Make the stamps of some candidates.

        Args:
            numbers: numbers of the candidates.

        Returns:
            Arrays by name: `image` (n, B, H, W) float32 and others of its rank with a row a stamp,
            and columns (n,) or (n, B), `galaxy_id` (int64) among them; a survey
            of one band may leave out its axis; n may be 0. Then the candidates
            that have no stamp, by number or name, each with the reason.
        """
