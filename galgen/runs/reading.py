"""What is read of run directories, without torch."""

import json
from pathlib import Path

from galgen.config.run_paths import is_run, weights_file
from galgen.errors import GalgenError
from galgen.files import reading


def find_runs(folders: list[Path]) -> list[Path]:
    """Return the run directories that are meant, each once.

    Args:
        folders: run directories, and folders of run directories.

    Raises:
        GalgenError: if a folder is neither.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        below = sorted(folder.iterdir()) if folder.is_dir() else []
        runs = [path for path in ([folder] if is_run(folder) else below) if is_run(path)]
        if not runs:
            raise GalgenError(
                f"{folder} is not a run directory and holds none: a run has a config.yaml."
            )
        for run in runs:
            found.setdefault(run.resolve(), run)
    return list(found.values())


def read_facts(directory: Path) -> dict:
    """Read a run's facts about its survey, transform and split.

    Args:
        directory: the run directory.

    Raises:
        GalgenError: if its data.json is missing or damaged.
    """
    path = Path(directory) / "data.json"
    try:
        with reading(path):
            facts = json.loads(path.read_text())
        facts["transform"]["name"], facts["survey"]
    except FileNotFoundError as error:
        raise GalgenError(f"{directory} has no data.json: its training never began.") from error
    except (ValueError, TypeError, KeyError) as error:
        raise GalgenError(f"{path} is damaged: {error!r}") from error
    return facts


def read_verdict(directory: Path) -> dict | None:
    """Read how a finished training judged its model; None where it did not.

    Raises:
        GalgenError: if the result is damaged.
    """
    path = Path(directory) / "DONE"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text()).get("verdict")
    except (ValueError, AttributeError) as error:
        raise GalgenError(
            f"{path} is damaged: {error}. Give the training's command again."
        ) from error


def is_finished(directory: Path) -> bool:
    """Say whether the training of a run directory came to its end."""
    return (Path(directory) / "DONE").is_file()


def checkpoint_path(directory: Path, checkpoint: str | None = None) -> Path:
    """Return where a run's checkpoint is.

    Args:
        directory: the run directory.
        checkpoint: `best` or `last`; where None, the best of a finished run, else the last.
    """
    checkpoint = checkpoint or ("best" if is_finished(directory) else "last")
    return weights_file(Path(directory) / "checkpoints", checkpoint)


def read_json(path: Path) -> dict:
    """Read a JSON file of a run directory.

    Raises:
        GalgenError: if it is damaged.
    """
    try:
        with reading(path):
            return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise GalgenError(
            f"{path}: the file is damaged. Restore it, or give overwrite=true to start again."
        ) from error
