"""A catalogue in the making: beside its place until it is complete, and gone on with when cut."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from galgen.errors import GalgenError
from galgen.files import write_text

REMEMBERED_EVERY = 2.0
"""Seconds between notes of how far the writing has come."""


class Partial:
    """The folder `<out>.part`, in which a catalogue is written until it is complete.

    Args:
        out: where the catalogue goes.
        identity: what its content follows from, with the number of rows, `n`; the beginning of
            another catalogue is not gone on with.

    Attributes:
        folder: the folder.
        done: rows that are safely written.
    """

    def __init__(self, out: Path, identity: dict):
        self.out, self.identity = out, identity
        self.folder = out.with_name(out.name + ".part")
        self.done, self.noted = 0, 0.0

    @contextlib.contextmanager
    def lock(self) -> Iterator["Partial"]:
        """Keep other processes out of the folder, and see how far it has come.

        Raises:
            GalgenError: if another process is writing there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise GalgenError(f"{self.out} is being written by another process") from None
        try:
            self._open()
            yield self
        except BaseException:
            if not self.done:
                shutil.rmtree(self.folder, ignore_errors=True)
            raise
        finally:
            lock.release()

    def remember(self, done: int, sync) -> None:
        """Note that rows up to `done` are written, every few seconds, after `sync()`."""
        if time.monotonic() - self.noted > REMEMBERED_EVERY:
            sync()
            self._note(done)

    def finish(self, content: Path) -> None:
        """Put the complete catalogue, a file or a folder, into its place."""
        if self.out.is_dir() and not self.out.is_symlink():
            shutil.rmtree(self.out)
        elif content.is_dir():
            self.out.unlink(missing_ok=True)
        os.replace(content, self.out)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self) -> None:
        """Go on with what the folder holds, if it is whole and of this catalogue."""
        try:
            progress = json.loads((self.folder / "progress.json").read_text())
            whole = self._sizes().items() >= progress["sizes"].items()
            if whole and progress["identity"] == self.identity:
                done = progress["done"]
                if type(done) is int and 0 <= done <= self.identity["n"]:
                    self.done = done
                    return
            print(f"{self.folder} is of another catalogue, or damaged; it is started afresh")
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            pass
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != ".lock":
                path.unlink()
        self._note(0)

    def _sizes(self) -> dict[str, int]:
        """List the files in the folder with their sizes, but for its own notes."""
        return {
            str(path.relative_to(self.folder)): path.stat().st_size
            for path in self.folder.rglob("*")
            if path.is_file() and path.name not in (".lock", "progress.json")
        }

    def _note(self, done: int) -> None:
        progress = {"done": done, "identity": self.identity, "sizes": self._sizes()}
        write_text(self.folder / "progress.json", json.dumps(progress, indent=2))
        self.done, self.noted = done, time.monotonic()


class RowFile:
    """Writes rows straight to their places in a file whose layout stands.

    Args:
        path: the file, of its full length.
        regions: by name, the place of the first row in the file and the type of a row.
    """

    def __init__(self, path: Path, regions: dict[str, tuple[int, np.dtype]]):
        self.path, self.regions = path, regions
        self.descriptor = os.open(path, os.O_RDWR)

    def write(self, name: str, first: int, rows: np.ndarray) -> None:
        """Write rows, the first of which is number `first`."""
        offset, dtype = self.regions[name]
        rest = memoryview(np.ascontiguousarray(rows, dtype.base)).cast("B")
        place = offset + first * dtype.itemsize
        while len(rest):
            written = os.pwrite(self.descriptor, rest, place)
            rest, place = rest[written:], place + written

    def sync(self) -> None:
        """Have the system put on disk what was written."""
        os.fsync(self.descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def reserve(path: Path, size: int) -> None:
    """Set the length of a file, and claim the space, so that a full disk shows at once.

    Args:
        path: the file.
        size: bytes.
    """
    with open(path, "rb+") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)


def sync_file(path: Path) -> None:
    """Have the system put on disk what was written to a file."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
