"""Files: written whole or not at all, why the system refuses one, their hash, and the cache."""

import errno
import glob
import hashlib
import os
import re
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from galgen.errors import GalgenError, Unreadable

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of the operating system: no space, none left of a quota, a limit on files."""

IN_USE = "it is in use by another program. Close it there, and give the same command again"
MARKED = (
    "another program has it open for writing, or was killed while it had. Close it there; if none "
    "has it open, clear the mark with h5clear -s <file>, or delete the file and prepare it again"
)
NETWORK = "the network disk does not answer. See that it is mounted, and try again"
REASONS = {
    errno.EAGAIN: IN_USE,
    errno.EBUSY: IN_USE,
    errno.ETXTBSY: IN_USE,
    errno.EDEADLK: IN_USE,
    errno.ENOLCK: "the file system cannot lock files. Set HDF5_USE_FILE_LOCKING=FALSE, or move it",
    errno.EACCES: "permission denied. Ask its owner for access, or give another path",
    errno.EPERM: "permission denied. Ask its owner for access, or give another path",
    errno.ESTALE: "the network disk lost it (stale file handle). Give the same command again",
    errno.EIO: "the disk reports an input/output error. Check the disk before you try again",
    errno.EMFILE: "too many files are open. Raise the limit (ulimit -n), and try again",
    errno.ENFILE: "too many files are open on this machine. Close some programs, and try again",
    errno.EROFS: "the file system is read-only. Give another path",
    errno.ENOMEM: "there is not enough memory. Close other programs, and try again",
    errno.ENAMETOOLONG: "the name is too long. Give a shorter one",
    errno.ELOOP: "its symbolic links go round in a circle. Mend the links",
    errno.EISDIR: "this is a folder. Give a file",
    errno.ENOTDIR: "a part of the path is a file, not a folder. Correct the path",
    errno.ETIMEDOUT: NETWORK,
    errno.ENOTCONN: NETWORK,
    errno.EHOSTDOWN: NETWORK,
}
"""Reason and remedy for each error of the system about a file."""


def expand(path: str | Path) -> Path:
    """Return a path with ~ and environment variables filled in."""
    return Path(os.path.expandvars(str(path))).expanduser()


def system_number(error: BaseException) -> int | None:
    """Return the number of the system's error behind another; HDF5 hides it in its text."""
    found = re.search(r"errno = (\d+)", str(error))
    return getattr(error, "errno", None) or (int(found[1]) if found else None)


def reason(error: BaseException) -> str | None:
    """Say why the system did not open, read or write a file.

    Args:
        error: the error raised; HDF5 hides the number of the system's error in its text.

    Returns:
        Reason and remedy; None where the system gave the file, and its content is at fault.
    """
    if isinstance(error, MemoryError):
        return REASONS[errno.ENOMEM]
    if not isinstance(error, OSError):
        return None
    text, number = str(error), system_number(error)
    if number is None and "already open" in text:  # HDF5's mark in the file, not a lock
        return MARKED
    if number is None and "unable to lock" in text:
        return IN_USE
    return REASONS.get(number)


@contextmanager
def reading(file: Path | str) -> Iterator[None]:
    """Turn a refusal of the system into a sentence; other errors pass.

    Args:
        file: path of the file that is read in the block, or `<key>=<path>`.

    Raises:
        Unreadable: if the system does not give the file, whatever it holds.
    """
    try:
        yield
    except (OSError, MemoryError) as error:
        why = reason(error)
        if why:
            raise Unreadable(f"{file}: {why}.") from error
        raise


def is_file(path: Path) -> bool:
    """Say whether a path is a file.

    Raises:
        Unreadable: if the system does not let us look.
    """
    with reading(path):
        return path.is_file()


def check_file(setting: str, path: Path) -> None:
    """Check that the value of a key is a file.

    Args:
        setting: the key and its value, `<key>=<value>`.
        path: the file.

    Raises:
        GalgenError: if it is a folder, or is not there.
    """
    if is_file(path):
        return
    if path.is_dir():
        raise GalgenError(f"{setting}: this is a folder. Give a file.")
    raise GalgenError(f"{setting}: there is no file {path}. Correct the path.")


def refuse_to_replace(folder: Path, paths: Iterable[Path]) -> None:
    """Check that files are not there yet.

    Args:
        folder: where they go, by `out` or by default.
        paths: of the files.

    Raises:
        GalgenError: naming the first that is.
    """
    for path in paths:
        if path.exists():
            raise GalgenError(
                f"out={folder}: {path} exists. Give overwrite=true to replace it, or out=<folder>."
            )


def check_space(key: str, path: Path, what: str, needed: float) -> int:
    """Check that the disk has room for the files to be written.

    Args:
        key: the key that names the file.
        path: the file; its folder may not exist yet.
        what: is written, in the plural.
        needed: bytes.

    Returns:
        The room that there is, bytes.

    Raises:
        GalgenError: if there is too little.
    """
    there = next(folder for folder in path.absolute().parents if folder.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise GalgenError(
            f"{key}={path}: {what} take about {needed / 1e9:.3g} GB, and the disk has "
            f"{free / 1e9:.3g} GB free. Free some space, or give another {key}."
        )
    return free


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, which becomes `path` when the block ends well.

    Args:
        path: the file; its folder is made. A symbolic link stays, and the file that it leads to
            is written.

    Yields:
        The path to write to. After an error or an interruption it is deleted.

    Raises:
        GalgenError: if the path is a folder.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    if path.is_dir():
        raise GalgenError(f"{path}: this is a folder. Give the path of a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale_parts(path)
    with _in_place_of(path) as part:
        yield part


@contextmanager
def folder_made_whole(path: Path) -> Iterator[Path]:
    """Give the path of a temporary folder, which becomes `path` when the block ends well.

    Args:
        path: the folder; an existing one is replaced.

    Yields:
        The path of the folder to make. After an error or an interruption it is deleted.
    """
    remove_stale_parts(path)
    with _in_place_of(path) as part:
        yield part


@contextmanager
def _in_place_of(path: Path) -> Iterator[Path]:
    """Give the path of the part of a file or folder; flush and move it, or delete it."""
    part = part_of(path)
    try:
        yield part
        for file in (part, *part.rglob("*")):
            if file.is_file():
                _sync(file)
        if part.is_dir():
            remove(path)
        os.replace(part, path)
    except BaseException as error:
        if isinstance(error, OSError):
            _say_where(error, part, path)
        with uninterrupted(), suppress(OSError):  # the first error is the one to report
            remove(part)
        raise


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C, SIGTERM and the closed terminal until the block has ended."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals interrupt the main thread alone
        return
    came: list[int] = []
    held = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.signal(number, lambda n, _: came.append(n)) for number in held}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def part_of(path: Path) -> Path:
    """Return where this process writes a file or folder until it is complete."""
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def remove_stale_parts(path: Path) -> None:
    """Delete the parts of a file or folder that processes have left which were killed."""
    for part in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
        number = part.name.removeprefix(f"{path.name}.").removesuffix(".part")
        if number.isdigit() and not (int(number) != os.getpid() and _is_running(int(number))):
            remove(part)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _sync(path: Path) -> None:
    """Flush a file to the disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _say_where(error: OSError, part: Path, path: Path) -> None:
    """Add to an error of a full disk the file that was being written."""
    if error.errno is None and part.is_file():
        try:  # NumPy keeps the reason to itself, but the next byte fails for the same one
            with open(part, "ab") as file:
                file.write(b"\0")
        except OSError as reason:
            error.errno, error.strerror = reason.errno, reason.strerror
    if error.errno in DISK_FULL:
        error.filename = str(path)


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
    return expand(os.environ.get("GALGEN_CACHE") or "~/.cache/galgen")
