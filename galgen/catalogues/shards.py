"""Finished galaxies of a catalogue, kept in shards until all of them can be written as one file."""

import contextlib
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from galgen.catalogues.rows import Catalogue
from galgen.errors import GalgenError
from galgen.files import (
    check_space,
    reading,
    remove,
    remove_stale_parts,
    uninterrupted,
    write_text,
    written_whole,
)

SHARD_BYTES = 2**24
"""Size of a shard, about."""
CHUNK = 16
"""Galaxies in a chunk of a Zarr shard, of which a shard holds a whole number."""


class Shards:
    """The folder `<out>.unfinished`, where a catalogue's galaxies lie until it is complete.

    Args:
        out: where the catalogue goes.
        catalogue: what goes into it.

    Attributes:
        size: galaxies in each shard but the last.
        row: type of a galaxy: its `image`, and the columns of the catalogue.
    """

    def __init__(self, out: Path, catalogue: Catalogue):
        self.out, self.catalogue = out, catalogue
        self.folder = out.with_name(out.name + ".unfinished")
        shape = (catalogue.run.model.bands, catalogue.size, catalogue.size)
        self.size = max(1, SHARD_BYTES // (4 * math.prod(shape) * CHUNK)) * CHUNK
        columns = [(name, f"<{c.kind}", c.shape) for name, c in catalogue.columns.items()]
        self.row = np.dtype([("image", "<f4", shape), *columns])

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out of the folder, and delete another catalogue's galaxies in it.

        When the block ends well, the catalogue is complete, and the folder is deleted.

        Raises:
            GalgenError: if another process is writing there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise GalgenError(f"{self.out} is being written by another process.") from None
        complete = False
        try:
            self._claim()
            yield
            complete = True
        finally:
            with uninterrupted():
                if complete or not any(self.folder.glob("*.npy")):
                    shutil.rmtree(self.folder)
                lock.release()

    def missing(self) -> list[range]:
        """List the rows of each shard that is not there, or is damaged.

        Raises:
            GalgenError: if the disk has no room for them and for the catalogue.
        """
        missing = [rows for rows in self._rows() if self._load(rows) is None]
        galaxies = sum(map(len, missing)) + self.catalogue.n
        check_space("out", self.out, "its galaxies", galaxies * self.row.itemsize)
        return missing

    def write(self, rows: range, blocks: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
        """Write a shard.

        Args:
            rows: of the catalogue, one of `missing`.
            blocks: images (n, B, H, W) and tables (n,) of these rows, in order.
        """
        shard, first = np.empty(len(rows), self.row), 0
        for images, table in blocks:
            part = shard[first : first + len(images)]
            part["image"] = images
            for name in table.dtype.names:
                part[name] = table[name]
            first += len(images)
        with written_whole(self._path(rows)) as path, open(path, "wb") as file:
            np.save(file, shard)

    def read(self) -> Iterator[tuple[int, np.ndarray]]:
        """Read the shards, one at a time: the number of the first row, and the rows.

        Raises:
            GalgenError: if one has been deleted.
        """
        for rows in self._rows():
            shard = self._load(rows)
            if shard is None:
                raise GalgenError(f"{self._path(rows)} is gone. Give the same command again.")
            yield rows.start, shard

    def _claim(self) -> None:
        """Say whose galaxies are in the folder; delete those of another catalogue, and parts."""
        remove_stale_parts(self.out)
        for part in self.folder.glob("*.part"):
            remove(part)  # of a process that was killed
        note, identity = self.folder / "identity.json", self.catalogue.identity()
        with contextlib.suppress(FileNotFoundError, ValueError), reading(note):
            if json.loads(note.read_text()) == identity:
                return
            print(f"{self.folder} holds another catalogue and is deleted")
        for path in self.folder.glob("*.npy"):
            path.unlink()
        write_text(note, json.dumps(identity, indent=2))

    def _rows(self) -> list[range]:
        n, size = self.catalogue.n, self.size
        return [range(first, min(first + size, n)) for first in range(0, n, size)]

    def _path(self, rows: range) -> Path:
        return self.folder / f"{rows.start // self.size:05d}.npy"

    def _load(self, rows: range) -> np.ndarray | None:
        """Map a shard into memory; None of one that is not there, or is damaged."""
        path = self._path(rows)
        try:
            with reading(path):
                shard = np.load(path, mmap_mode="r")
        except (FileNotFoundError, ValueError, EOFError):
            return None
        return shard if (shard.shape, shard.dtype) == ((len(rows),), self.row) else None
