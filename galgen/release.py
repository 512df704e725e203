"""`python -m galgen.release`: a run without its data, for others to load."""

import re
from pathlib import Path

from omegaconf import DictConfig

from galgen.config.command import command
from galgen.config.releases import RECORD
from galgen.errors import GalgenError
from galgen.files import refuse_to_replace, sha256
from galgen.runs.reading import is_finished

NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
"""Names that a URL and every file system take."""


@command("release", words="run", resumes=False)
def main(config: DictConfig) -> None:
    """Write a released model, checked by galaxies that it generates, and print its path."""
    directory = Path(config.run)
    name = str(config.name or directory.name)
    if not NAME.fullmatch(name):
        raise GalgenError(f"name={name}: use small letters, digits, hyphens and dots.")
    if not is_finished(directory):
        raise GalgenError(
            f"run={directory}: its training is not finished. Give the training's command again."
        )
    folder = Path(str(config.out or f"releases/{name}")).expanduser()
    if not config.overwrite:
        refuse_to_replace(folder, [folder])
    elif folder.exists() and not (folder / RECORD).is_file():
        raise GalgenError(f"out={folder}: this is no released model, so it is not replaced.")
    from galgen.reports.released_run import write_release
    from galgen.runs.trained_run import TrainedRun

    run = TrainedRun(directory, "cpu", config.data.file)
    write_release(run, name, folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB; it generates the same galaxies as {run.directory}")
    print(f"galgen.load('{folder}') loads it, and galgen.load(<URL of this folder>) from a host;")
    print(f"end the URL with #sha256={sha256(folder / RECORD)} so that nobody can change it")


if __name__ == "__main__":
    main()
