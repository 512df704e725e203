"""The config of a run: its content, which names the run, and how it is read."""

import hashlib
import json
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from galgen.config.targets import check_names
from galgen.errors import GalgenError, Unreadable
from galgen.files import reading

PARTS_OF_CONFIG = ("model", "data", "transform")
"""Nodes that every run's config has."""
NOT_CONTENT = (
    *("run_root", "run_name", "run_dir", "resume", "overwrite"),
    *("launcher", "search", "logger", "prior", "trusted_packages"),
    # The time of a pause does not change the result.
    *("trainer.max_time", "data.hint"),
)
"""Keys about where and how a run is made, kept and tracked, which do not identify it."""


def content_name(config: DictConfig) -> str:
    """Name a run by its content: survey, model, latent size, beta, seed and a hash of the rest."""
    choices = OmegaConf.to_container(stored_form(config))
    content = json.dumps(content_of(choices), sort_keys=True).encode()
    beta = config.beta_schedule.get("beta", "table")
    return (
        f"{config.data.name}-{config.model.name}-latent{config.model.latent_dim}-beta{beta}"
        f"-s{config.seed}-{hashlib.sha256(content).hexdigest()[:8]}"
    )


def stored_form(config: DictConfig) -> DictConfig:
    """Resolve a config, with paths inside the run directory relative to it."""
    copy = config.copy()
    copy.run_dir = "."
    return OmegaConf.create(OmegaConf.to_container(copy, resolve=True))


def content_of(config: dict | DictConfig) -> dict:
    """Return the part of a config that identifies a run."""
    content = {key: value for key, value in config.items() if key not in NOT_CONTENT}
    for group in ("trainer", "data"):
        content[group] = {
            key: value
            for key, value in (config.get(group) or {}).items()
            if f"{group}.{key}" not in NOT_CONTENT
        }
    return content


def flatten(node, prefix: str = "") -> dict:
    """Give the values of a config by their full keys, such as `model.width`."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node)
    if not isinstance(node, dict):
        return {prefix: node}
    flat = {}
    for key, value in node.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else key))
    return flat


def read_config(directory: Path) -> DictConfig:
    """Read the config of a run; classes that it names are imported when they are instantiated.

    Args:
        directory: the run directory.

    Raises:
        GalgenError: if it is not a run directory, or its config names a class that is not allowed.
    """
    config = read_unchecked_config(directory)
    check_names(config)
    return config


def read_unchecked_config(directory: Path) -> DictConfig:
    """Read the config of a run to be looked at: nothing that it names is imported or may be made.

    Args:
        directory: the run directory.

    Raises:
        GalgenError: if it is not a run directory, or its config is damaged.
    """
    path = Path(directory) / "config.yaml"
    if not path.is_file():
        raise GalgenError(f"{directory} is not a run directory: it has no config.yaml.")
    config = load_yaml(path)
    for key in PARTS_OF_CONFIG:
        if not isinstance(config.get(key), DictConfig) or "_target_" not in config[key]:
            raise GalgenError(f"{path} is damaged: it has no {key}.")
    config.run_dir = str(directory)
    return config


def keep_scale(config: DictConfig, facts: dict) -> None:
    """Give a run's transform the scale that the training took from its survey.

    Args:
        config: the run's.
        facts: what its data.json keeps.

    Raises:
        GalgenError: if it keeps none.
    """
    scale = facts["transform"].get("scale")
    for node in (config.transform, config.data.transform):
        if "scale" in node or scale is not None:
            scales = scale if isinstance(scale, list) and scale else [scale]
            if any(type(value) not in (float, int) or not value > 0 for value in scales):
                raise GalgenError(
                    f"data.json: transform.scale={scale} is not a positive number, so the unit of "
                    "the run's images is not known. Train it again."
                )
            node.scale = scale


def load_yaml(path: Path) -> DictConfig:
    """Read a YAML file of a run directory.

    Raises:
        GalgenError: if it is damaged.
    """
    try:
        with reading(path):
            config = OmegaConf.load(path)
    except Unreadable:
        raise
    except Exception as error:  # of yaml and omegaconf, which have no common base
        raise GalgenError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    if not isinstance(config, DictConfig):
        raise GalgenError(f"{path} is damaged: it is not a mapping.")
    return config
