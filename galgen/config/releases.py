"""Released models: run directories without their data, in the package or on a host."""

import hashlib
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

from galgen.errors import GalgenError
from galgen.files import cache_folder, folder_made_whole, reading, sha256

SHIPPED = Path(__file__).resolve().parents[1] / "released"
"""Folder of the models that come with galgen."""
RECORD = "release.json"
"""File of a released model: its format, and the SHA-256 of each other file."""
FORMAT = 1
"""Of released models; a higher one is newer than this galgen."""
FILE = re.compile(r"(?:[a-z_]+/)?[A-Za-z0-9_]+\.(?:yaml|json|csv|onnx|safetensors|h5|md|png)|DONE")
"""Paths that a released model may have: plain names, in one folder at most."""
LARGEST = 2**31
"""Bytes of a file that are downloaded, at most."""
TIMEOUT = 30.0
"""Seconds that a host may stay silent."""


def names() -> list[str]:
    """Name the models that come with galgen."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{RECORD}"))


def is_url(source: str | Path) -> bool:
    """Say whether a run is given by a URL."""
    return str(source).startswith(("https://", "http://"))


def is_read_only(run: Path) -> bool:
    """Say whether a run directory is one that galgen keeps: shipped with it, or downloaded."""
    run = Path(run).resolve()
    return any(parent in run.parents for parent in (SHIPPED, _downloads().resolve()))


def check(run: Path) -> None:
    """Check that the files of a released model are those that were released.

    Args:
        run: a run directory; one that is not a released model passes.

    Raises:
        GalgenError: if the release is of a newer format, or a file is missing or was changed.
    """
    path = Path(run) / RECORD
    if not path.is_file():
        return
    with reading(path):
        record = _parse(path.read_bytes(), path)
    for name, expected in record["files"].items():
        file = Path(run) / name
        with reading(file):
            there = file.is_file()
            if there and sha256(file) == expected:
                continue
        raise GalgenError(
            f"{file}: it {'was changed after the release' if there else 'is missing'}. Take "
            f"{Path(run).name} from its origin again, or delete {path} if the change is yours."
        )


def fetch(url: str) -> Path:
    """Download a released model once, and return its folder.

    Nothing that is downloaded is executed, and each file has the SHA-256 that release.json says.

    Args:
        url: of the folder that holds release.json, or of release.json itself; `#sha256=...` at its
            end is the SHA-256 that release.json has.

    Raises:
        GalgenError: if the host does not give it, or a checksum differs.
    """
    address, _, fragment = url.partition("#")
    address = address.removesuffix("/").removesuffix(RECORD).rstrip("/")
    pinned = fragment.removeprefix("sha256=").lower()
    if fragment and not re.fullmatch(r"sha256=[0-9a-fA-F]{64}", fragment):
        raise GalgenError(f"run={url}: after # there can be sha256= and 64 digits.")
    if address.startswith("http:") and not pinned:
        raise GalgenError(
            f"run={url}: over http, anybody on the way may change the model. Give https, or add "
            "#sha256=<that of its release.json>."
        )
    if pinned and (_downloads() / pinned).is_dir():
        return next((_downloads() / pinned).iterdir())
    content = _download(f"{address}/{RECORD}", url)
    found = hashlib.sha256(content).hexdigest()
    if pinned not in ("", found):
        raise GalgenError(
            f"run={url}: its {RECORD} has the SHA-256 {found}. Ask whoever gave you the other."
        )
    record, folder = _parse(content, url), _downloads() / found
    name = Path(urlsplit(address).path).name or "model"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            _fill(folder, name, address, record, content, url)
    return next(folder.iterdir())


def _fill(folder: Path, name: str, address: str, record: dict, content: bytes, url: str) -> None:
    """Download the files of a record into a folder, all or none."""
    with folder_made_whole(folder) as part:
        for file, expected in record["files"].items():
            body = _download(f"{address}/{file}", url)
            if hashlib.sha256(body).hexdigest() != expected:
                raise GalgenError(f"run={url}: {file} is another than {RECORD} says. Ask its host.")
            path = part / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        (part / name / RECORD).write_bytes(content)


def _downloads() -> Path:
    return cache_folder() / "models"


def _parse(content: bytes, source: Path | str) -> dict:
    """Read a release.json, and check that it asks for nothing but a model's own files."""
    try:
        record = json.loads(content)
        version, files = int(record["format"]), dict(record["files"])
    except (ValueError, TypeError, KeyError) as error:
        raise GalgenError(f"{source}: its {RECORD} is damaged: {error!r}.") from error
    if version > FORMAT:
        raise GalgenError(
            f"{source}: this release has format {version}, and this galgen reads {FORMAT} at most. "
            "Upgrade galgen: pip install -U galgen"
        )
    for name, digest in files.items():
        if not FILE.fullmatch(name) or not re.fullmatch(r"[0-9a-f]{64}", str(digest)):
            raise GalgenError(
                f"{source}: its {RECORD} names {name!r}, no file of a model. Refused."
            )
    return record


def _download(address: str, url: str) -> bytes:
    """Download a file from the host that the user named, and from no other."""
    import requests  # by those who load from a host alone

    try:
        with requests.get(address, timeout=TIMEOUT, stream=True, allow_redirects=False) as response:
            if response.status_code != 200:
                raise GalgenError(
                    f"run={url}: {address} answers {response.status_code} {response.reason}. Give "
                    f"the URL of the folder that holds {RECORD}."
                )
            content = bytearray()
            for block in response.iter_content(2**20):
                content += block
                if len(content) > LARGEST:
                    raise GalgenError(f"run={url}: {address} is larger than a model. Refused.")
            return bytes(content)
    except requests.RequestException as error:
        reason = type(error).__name__
        raise GalgenError(
            f"run={url}: {address} cannot be reached ({reason}). See that you are online."
        ) from error
