"""Fetch a release of GalSim's COSMOS training samples from a public archive, and unpack it.

A download that a broken connection or Ctrl-C interrupted is resumed; files and folders get
their names when they are complete.
"""

import gzip
import hashlib
import logging
import os
import re
import shutil
import sys
import tarfile
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

import requests
from filelock import FileLock
from rich import progress
from urllib3.exceptions import HTTPError

from galgen.errors import GalgenError

log = logging.getLogger(__name__)

PAUSES = (1, 2, 4, 8, 16, 32)
"""Seconds after each failure in a row; one more is final. Zenodo's limits are per minute."""
TIMEOUTS = (20, 60)
"""Seconds to wait for a connection and for the next bytes."""
UNPACKED_RATIO = 2.5
"""Size of an unpacked release over that of its archive."""
CHUNK = 2**16
"""Bytes read at a time; a connection that is reset loses no more."""


def fetch_release(name: str, folder: Path, record: str, checksum: str | None = None) -> Path:
    """Fetch a release and unpack it, unless it is there already.

    Args:
        name: the release, such as COSMOS_25.2_training_sample.
        folder: where it goes; it is made.
        record: URL of the metadata of the Zenodo record that holds name + ".tar.gz".
        checksum: of the archive, md5:... or sha256:...; the record's where None.

    Returns:
        The release's folder, folder/name.

    Raises:
        GalgenError: if the record or the archive cannot be downloaded, is another one, or does
            not fit on the disk.
    """
    release, archive = folder / name, folder / f"{name}.tar.gz"
    if release.is_dir():
        return release
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{release}.lock"):  # a second command waits, and finds the release
        if release.is_dir():
            return release
        url, size, recorded = _look_up(record, archive.name)
        if not (checksum or recorded):
            raise GalgenError(
                f"{record}: gives no checksum of {archive.name}. Give prepare.checksum=md5:..."
            )
        shutil.rmtree(_part(release), ignore_errors=True)  # makes room
        _check_space(folder, size, max(_size(archive), _size(_part(archive))))
        log.info("fetching %s, %.1f GB, into %s", archive.name, size / 1e9, folder)
        download(url, archive, size, checksum or recorded)
        unpack(archive, release)
        archive.unlink()
    return release


def download(url: str, path: Path, size: int | None = None, checksum: str | None = None) -> None:
    """Download a file, resuming from what an earlier attempt left in path + ".part".

    Args:
        url: where it is.
        path: where it goes; a file that is there already is completed if need be, and checked.
        size: its size, bytes; None takes the server's.
        checksum: md5:... or sha256:...; not checked where None.

    Raises:
        GalgenError: if the server does not give the file, or the file is not the expected one.
    """
    if checksum and not re.fullmatch("md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", checksum.lower()):
        raise GalgenError(
            f"checksum '{checksum}': must be md5: and 32 or sha256: and 64 hexadecimal digits."
        )
    part = _part(path)
    if path.exists():
        os.replace(path, part)
    if size is None or _size(part) < size:
        columns = progress.DownloadColumn(), progress.TransferSpeedColumn()
        with progress.Progress(*progress.Progress.get_default_columns(), *columns) as bar:
            show = partial(bar.update, bar.add_task("downloading", total=size))
            _insist(url, partial(_receive, url, part, size, show), partial(_size, part))
    _verify(url, part, size, checksum)
    os.replace(part, path)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz archive; a single folder that holds all of it is left out.

    Args:
        archive: the archive.
        folder: where its contents go; it appears when it is complete.

    Raises:
        GalgenError: if the archive is damaged, or holds anything but files and folders inside it.
    """
    part = _part(folder)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with (
            progress.open(archive, "rb", description="unpacking") as file,
            gzip.open(file) as stream,
            tarfile.open(fileobj=stream, mode="r:") as tar,
        ):
            for member in tar:
                _extract(tar, member, part)
            while stream.read(CHUNK):  # gzip compares its checksum at the end
                pass
        entries = list(part.iterdir())
        os.replace(entries[0] if len(entries) == 1 and entries[0].is_dir() else part, folder)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise GalgenError(
            f"{archive}: cannot be unpacked, {error}. Delete it, and fetch it again."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    path = PurePosixPath(member.name)
    if not (member.isreg() or member.isdir()) or path.is_absolute() or ".." in path.parts:
        raise tarfile.TarError(f"'{path}' is a link, a device or outside the folder")
    tar.extract(member, folder, filter="data")
    if member.isreg():
        with open(folder / path, "rb+") as file:
            os.fsync(file.fileno())  # the archive is deleted next


def _look_up(record: str, key: str) -> tuple[str, int, str | None]:
    """Ask a record for a file's URL, size (bytes) and checksum."""
    answer = _insist(record, lambda: _checked(requests.get(record, timeout=TIMEOUTS)))
    try:
        files = {file["key"]: file for file in answer.json()["files"]}
        if key in files:
            file = files[key]
            return file["links"]["self"], int(file["size"]), file.get("checksum")
    except (ValueError, LookupError, TypeError) as error:
        raise GalgenError(
            f"{record}: does not answer with a record's metadata. Give an address such as "
            "https://zenodo.org/api/records/3242143"
        ) from error
    raise GalgenError(f"{record}: holds no {key}, only {', '.join(files) or 'nothing'}.")


def _insist(url: str, attempt: Callable, reached: Callable[[], int] = lambda: 0):
    """Return what an attempt returns, unless too many fail in a row without reaching further."""
    failures, best, outer = 0, reached(), sys.exception()
    while True:
        try:
            return attempt()
        except ValueError as error:  # what requests raises for an address that is none
            raise GalgenError(f"{url}: {error}") from error
        except (requests.RequestException, HTTPError) as error:
            reason = error
        while reason.__context__ not in (None, outer):  # the innermost reads best
            reason = reason.__context__
        if reached() > best:
            failures, best = 0, reached()
        if failures == len(PAUSES):
            raise GalgenError(
                f"{url}: {reason}. The part that arrived is kept: give the same command again "
                "later, or use a release that you have, prepare.release=<folder>."
            )
        log.warning("%s: %s; trying again in %g s", url, reason, PAUSES[failures])
        time.sleep(PAUSES[failures])
        failures += 1


def _receive(url: str, part: Path, size: int | None, show: Callable) -> None:
    """Request the missing bytes of a part once, and append them."""
    had = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={had}-"} if had else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS) as response:
        status, extent = response.status_code, response.headers.get("Content-Range", "")
        if status == 416 and extent == f"bytes */{had}":
            return
        if status == 416 or (status == 206 and not extent.startswith(f"bytes {had}-")):
            part.unlink(missing_ok=True)
            raise requests.ConnectionError("the server does not resume the download")
        _checked(response)
        length = extent.split("/")[-1] if status == 206 else response.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
        if None not in (size, total) and size != total:
            raise GalgenError(
                f"{url}: has {total} bytes, but {size} were expected; does the "
                "network ask for a login, or has the file changed?"
            )
        with open(part, "ab" if status == 206 else "wb") as file:
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                file.write(chunk)
                show(completed=file.tell(), total=total)
    if _size(part) < (size or total or 0):
        raise requests.ConnectionError(f"the connection broke after {_size(part)} bytes")


def _checked(response: requests.Response) -> requests.Response:
    answer = f"the server answers {response.status_code} {response.reason}"
    if response.status_code == 429 or response.status_code >= 500:
        raise requests.HTTPError(answer)
    if response.status_code not in (200, 206):
        raise GalgenError(f"{response.url}: {answer}. Check the address.")
    return response


def _verify(url: str, part: Path, size: int | None, checksum: str | None) -> None:
    """Delete a complete part that is not the expected file, and raise an error."""
    found = f"{_size(part)} bytes"
    expected = found if size is None else f"{size} bytes"
    if checksum and found == expected:
        expected, algorithm = checksum.lower(), checksum.lower().split(":")[0]
        new = partial(hashlib.new, algorithm, usedforsecurity=False)
        with progress.open(part, "rb", description="checking") as file:
            found = f"{algorithm}:{hashlib.file_digest(file, new).hexdigest()}"
    if found != expected:
        part.unlink()
        raise GalgenError(
            f"{url}: expected {expected}, found {found}; the download is deleted, give the same "
            "command again."
        )


def _check_space(folder: Path, size: int, present: int) -> None:
    needed = (1 + UNPACKED_RATIO) * size - present
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise GalgenError(
            f"{folder}: fetching and unpacking needs {needed / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free. Free some space there or choose another folder."
        )


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
