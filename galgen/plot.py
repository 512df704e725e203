"""`python -m galgen.plot`: pictures of a run, as PNG and PDF."""

from pathlib import Path

from omegaconf import DictConfig, ListConfig

from galgen import records
from galgen.config import check_arguments, check_targets, command, instantiate
from galgen.errors import GalgenError
from galgen.files import DISK_FULL


@command("plot", words="run", resumes=False)
def main(config: DictConfig) -> None:
    """Draw what `figure` describes and say where the files are."""
    check_targets(config)
    check_arguments(config)
    sources = list(config.run) if isinstance(config.run, ListConfig) else [config.run]
    picture = instantiate(config.figure)
    from galgen.pictures import Losses  # torch, after the config has been checked

    if isinstance(picture, Losses):
        content = records.read_curves(sources)
    elif len(sources) > 1:
        raise GalgenError("several runs can be drawn in one figure by figure=losses alone")
    else:
        content = open_run(config, sources[0])
    folder = out_folder(config.out, sources)
    try:
        paths = picture.write(content, folder)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise GalgenError(
            f"{folder}: the pictures cannot be written, {error.strerror}; give out=<folder>"
        ) from error
    for path in paths:
        print(path)


def open_run(config: DictConfig, source: str):
    """Load the run that is drawn."""
    from galgen.trained import TrainedRun

    return TrainedRun(source, config.device, config.data.file)


def out_folder(out: str | None, sources: list[str]) -> Path:
    """Return the folder that pictures go to: `out`, or figures/ in the run.

    Raises:
        GalgenError: if there is no one run to put them in.
    """
    if out:
        return Path(out).expanduser()
    if len(sources) > 1 or not Path(sources[0]).expanduser().is_dir():
        raise GalgenError("this figure is of no single run: say where it goes, out=<folder>")
    return Path(sources[0]).expanduser() / "figures"


if __name__ == "__main__":
    main()
