"""Which priors are fitted to a run, and with which arguments; without torch."""

import json
from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from galgen.errors import GalgenError
from galgen.files import write_text
from galgen.runs.reading import read_json

FITTED = Path("priors") / "fitted.json"
"""File with the arguments that the priors of a run were fitted with."""


def the_one_prior(names: Iterable[str]) -> str | None:
    """Return the name of the one prior that was given, or None.

    Raises:
        GalgenError: if there are several.
    """
    names = list(names)
    if len(names) > 1:
        raise GalgenError(f"prior={names}: galaxies are drawn from one prior. Name one of these.")
    return next(iter(names), None)


def fitted_priors(directory: Path) -> dict[str, dict]:
    """Read with which arguments priors were fitted to a run, by name; without torch.

    Args:
        directory: the run directory.
    """
    path = Path(directory) / FITTED
    return read_json(path) if path.is_file() else {}


def remember_prior(directory: Path, name: str, node: DictConfig, seed: int) -> None:
    """Keep with which arguments a prior was fitted to a run.

    Args:
        directory: the run directory.
        name: of the prior.
        node: `_target_` and arguments of its class.
        seed: that it was fitted with.
    """
    kept = {"node": OmegaConf.to_container(node, resolve=True), "seed": seed}
    content = {**fitted_priors(directory), name: kept}
    write_text(Path(directory) / FITTED, json.dumps(content, indent=2))


def forget_prior(directory: Path, name: str | None = None) -> None:
    """Take a prior for not fitted, before it is fitted anew; all of them where None.

    Args:
        directory: the run directory.
        name: of the prior.
    """
    kept = {} if name is None else fitted_priors(directory)
    if kept.pop(name, None) or name is None:
        path = Path(directory) / FITTED
        if kept:
            write_text(path, json.dumps(kept, indent=2))
        else:
            path.unlink(missing_ok=True)
