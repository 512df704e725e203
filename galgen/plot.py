"""`python -m galgen.plot`: pictures of a run, as PNG and PDF."""

import hashlib
import re
from pathlib import Path

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from galgen.config.command import command
from galgen.config.run_paths import results_folder
from galgen.config.targets import check_arguments, check_targets, instantiate
from galgen.errors import GalgenError
from galgen.files import DISK_FULL
from galgen.runs.metrics import read_curves

LONGEST = 100
"""Characters of a name that tell options; of more, a hash does."""


@command("plot", words="run", resumes=False)
def main(config: DictConfig) -> None:
    """Draw the figure that `figure` describes and print the paths of its files."""
    sources = list(config.run) if isinstance(config.run, ListConfig) else [config.run]
    check_targets(config)
    check_arguments(config)
    figure, name = instantiate(config.figure), HydraConfig.get().runtime.choices["figure"]
    if figure.of_metrics:
        content = read_curves(sources)
    elif len(sources) > 1:
        raise GalgenError(
            f"run=[{','.join(sources)}]: figure={name} draws one run alone. Give one run."
        )
    else:
        content = open_run(config, sources[0])
    folder, suffix = out_folder(config.out, sources), suffix_of(config, name)
    if config.out and not config.overwrite:
        check_free(folder, name, suffix)
    try:
        paths = figure.write(content, folder, suffix)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise GalgenError(
            f"{folder}: the pictures cannot be written, {error.strerror}. Give out=<folder>."
        ) from error
    for path in paths:
        print(path)


def open_run(config: DictConfig, source: str):
    """Load the run that is drawn."""
    from galgen.runs.trained_run import TrainedRun

    return TrainedRun(source, config.device, config.data.file)


def out_folder(out: str | None, sources: list[str]) -> Path:
    """Return the folder that pictures go to: `out`, or figures/ in the run.

    Raises:
        GalgenError: if several runs are drawn and `out` is missing.
    """
    if out:
        return Path(out).expanduser()
    if len(sources) > 1 or not Path(sources[0]).expanduser().is_dir():
        raise GalgenError("out: a figure of several runs needs a folder. Give out=<folder>.")
    return results_folder(Path(sources[0]).expanduser()) / "figures"


def suffix_of(config: DictConfig, name: str) -> str:
    """Return the last part of the pictures' names: the options that differ from the defaults.

    Args:
        config: the command's.
        name: of the figure in its group.
    """
    places = [w for w in HydraConfig.get().overrides.hydra if w.startswith("hydra.searchpath=")]
    defaults = compose("plot", [*places, f"figure={name}"])
    arguments = OmegaConf.to_container(config.figure, resolve=False)
    found = [
        re.fullmatch(r"\$\{(?:oc\.dict\.keys:)?(\w+)\}", str(text)) for text in arguments.values()
    ]
    options = [match[1] for match in found if match]
    values = {key: list(config[key]) if key == "prior" else config[key] for key in options}
    given = [f"_{key}{value}" for key, value in values.items() if config[key] != defaults[key]]
    text = "".join(given).replace(":", "to").replace(", ", "-").replace(",", "-")
    text = re.sub(r"[^\w.+-]+", "", text)
    if len(text) > LONGEST:
        text = f"_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return text


def check_free(folder: Path, name: str, suffix: str) -> None:
    """Check that a folder that the user has named does not hold such a picture, perhaps another's.

    Raises:
        GalgenError: if it does.
    """
    for path in sorted(folder.glob(f"{name}{suffix}.*")):
        raise GalgenError(f"{path} exists. Give overwrite=true to replace it, or another out.")


if __name__ == "__main__":
    main()
