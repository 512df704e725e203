"""Finding the runs that a command is given, before torch is imported."""

import difflib
from pathlib import Path

from galgen.config import releases
from galgen.errors import GalgenError
from galgen.files import expand, is_file, reading

RUNS = Path("runs")
"""Default folder of runs."""
SHOWN = 8
"""Runs that a message names, at most."""


def is_run(path: Path) -> bool:
    """Say whether a path is a run directory.

    Raises:
        Unreadable: if the system does not let us look.
    """
    return is_file(path / "config.yaml")


def locate(source: str | Path, key: str = "run") -> Path:
    """Return the path of a run, or of what stands in its place, a folder of runs or a file.

    Args:
        source: a path, the name of a run in ./runs or of a released model, or the URL of one.
        key: that gave it.

    Raises:
        GalgenError: if there is none; the message names the runs that are there.
    """
    if releases.is_url(source):
        return releases.fetch(str(source))
    path = expand(source)
    with reading(path):
        if path.is_file() or is_run(path) or _runs(path):
            return path
    is_name = path == Path(path.name)
    if is_name and is_run(RUNS / path):
        return RUNS / path
    if is_name and path.name in releases.names():
        return releases.SHIPPED / path
    folder = RUNS if is_name or not _runs(path.parent) else path.parent
    why = "this folder is not a run and holds none" if path.is_dir() else "there is no such run"
    if path.suffix == ".csv":
        why = "there is no such file"
    released = releases.names() if is_name else []
    raise GalgenError(f"{key}={source}: {why}. {_there_are(folder, path.name, released)}")


def _there_are(folder: Path, wanted: str, released: list[str]) -> str:
    """Name the runs in a folder, close spellings first, then the newest; and released models."""
    names = _runs(folder)
    shipped = f"Released models: {', '.join(released)}. " if released else ""
    if not names:
        return f"{shipped}Train one with: python -m galgen.train"
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.6)
    shown = list(dict.fromkeys([*close, *names]))[:SHOWN]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"Runs in {folder}: {', '.join(shown)}{more}. {shipped}".rstrip()


def results_folder(run: Path) -> Path:
    """Return where results about a run go: into it, or beside other runs where it is read only.

    Args:
        run: its directory, as `locate` found it.
    """
    return RUNS / run.name if releases.is_read_only(run) else run


def weights_file(folder: Path, name: str) -> Path:
    """Return a file of weights: safetensors in a released model, else a checkpoint of torch."""
    released = Path(folder) / f"{name}.safetensors"
    return released if released.is_file() else Path(folder) / f"{name}.ckpt"


def _runs(folder: Path) -> list[str]:
    """List the names of the runs in a folder, newest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.is_dir() and is_run(path)]
    found.sort(key=lambda path: (path / "config.yaml").stat().st_mtime, reverse=True)
    return [path.name for path in found]
