"""Files: written whole or not at all, their hash, and where prepared surveys are kept."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of the operating system: no space, none left of a quota, a limit on files."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, which becomes `path` when the block ends well.

    Args:
        path: the file; its folder is made.

    Yields:
        The path to write to. After an error or an interruption it is deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            error.filename = str(path)  # a write does not say where
        raise


def expand(path: str | Path) -> Path:
    """Return a path with ~ and environment variables filled in."""
    return Path(os.path.expandvars(str(path))).expanduser()


def write_text(path: Path, text: str) -> None:
    """Write a small text file, whole or not at all."""
    with written_whole(path) as part:
        part.write_text(text)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return the folder of prepared surveys: $GALGEN_CACHE, or ~/.cache/galgen."""
    return Path(os.environ.get("GALGEN_CACHE") or "~/.cache/galgen").expanduser()
