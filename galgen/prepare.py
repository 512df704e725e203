"""`python -m galgen.prepare`: make a survey's stamp file."""

import re
import shlex
import signal
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

from galgen.config import CONF, check_arguments, check_targets, command, instantiate
from galgen.errors import GalgenError


@command("prepare")
def main(config: DictConfig) -> None:
    """Prepare a survey, or what is missing of it, and say where it lies."""
    check_targets(config)
    check_arguments(config)
    from galgen.data.preparation import prepare

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # of a scheduler: as Ctrl-C
    path = instantiate(config.data).file
    source = instantiate(config.prepare)
    complete = prepare(source, path, config.overwrite)
    for note in source.notes:
        print(note)
    if complete:
        print(f"{path} is ready:")
        print(f"    python -m galgen.describe {quoted('data.file', path)}")
        print(f"    {training_command(config.data, path)}")
    else:
        print(f"shard {source.shard} is ready; the one that is finished last joins them as {path}")


def training_command(node: DictConfig, path: Path) -> str:
    """Return a command that trains on a survey, or say that there are too few galaxies for one.

    Args:
        node: `data` of the preparation's config.
        path: the stamp file.
    """
    node = node.copy()
    node.update({"file": str(path), "cache": "none", "batch_size": 1})
    defaults = OmegaConf.load(CONF / "data" / f"{node.name}.yaml")
    words = ["python -m galgen.train", f"data={node.name}", quoted("data.file", path)]
    if node.image_size != defaults.get("image_size"):
        words.append(f"data.image_size={node.image_size}")
    try:
        survey = instantiate(node)
        survey.setup()
    except GalgenError:
        return "# too few galaxies to train on: a training and a validation part take two at least"
    n, default = len(survey.parts["train"]), OmegaConf.load(CONF / "data" / "_survey.yaml")
    try:
        survey.require_redshifts()
        n = len(survey.parts["train"])
    except GalgenError:  # too few of them, or marks of failure
        words.append("model=vae")
    if n < default.batch_size:
        words.append(f"data.batch_size={2 ** max(0, n.bit_length() - 2)}")
    return " ".join(words)


def quoted(key: str, path: Path) -> str:
    """Write a path as the value of a key that both the shell and Hydra read."""
    text = str(path)
    if not re.fullmatch(r"[\w./~-]+", text):
        text = QuotedString(text, Quote.single).with_quotes()
    return shlex.quote(f"{key}={text}")


if __name__ == "__main__":
    main()
