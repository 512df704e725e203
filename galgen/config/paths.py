"""Paths in a config: where the groups are, and how ~ and $VARIABLE are expanded."""

import os
import re
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from galgen.config.releases import is_url
from galgen.errors import GalgenError
from galgen.files import expand

_PACKAGE = Path(__file__).resolve().parent.parent
CONF = next(p for p in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if p.is_dir())
"""The config groups: inside an installed package, beside it in a checkout."""
PATHS = (
    *("run_root", "init_from", "out", "file", "data.file"),
    *("prepare.release", "prepare.downloads"),
)
"""Keys that take a path, in any command; `run` is looked up."""
HYDRAS = ("run_root", "hydra.sweep.dir", "hydra.run.dir")
"""Folders that Hydra makes."""


def fill_in_paths(config: DictConfig) -> None:
    """Fill in ~ and environment variables of all keys that take a path.

    Raises:
        GalgenError: if a variable is not set.
    """
    for key in PATHS:
        value = OmegaConf.select(config, key)
        if isinstance(value, str) and value and not is_url(value):
            OmegaConf.update(config, key, str(fill_in(key, value)))


def fill_in(key: str, value: str) -> Path:
    """Fill in ~ and environment variables of a path.

    Args:
        key: the key that it was given as, for the message.
        value: the path.

    Raises:
        GalgenError: if a variable is not set, or `~name` is of no user.
    """
    try:
        path = expand(value)
    except RuntimeError as error:
        raise GalgenError(f"{key}={value}: there is no such home folder. Write it out.") from error
    unset = re.search(r"\$\{?([A-Za-z_]\w*)\}?", str(path))
    if unset and unset[1] not in os.environ and not path.exists():
        raise GalgenError(
            f"{key}={value}: the environment variable {unset[1]} is not set. Set it, or write the "
            "path out."
        )
    return path
