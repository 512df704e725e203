"""Rules across the groups of a training's config, which no single class can check."""

import re

from omegaconf import DictConfig, ListConfig, OmegaConf

from galgen.config.paths import CONF
from galgen.config.run_paths import is_run, locate
from galgen.config.trainer_rules import check_trainer
from galgen.errors import GalgenError

LOSSES = ("val/loss", "val/reconstruction", "val/kl")
"""What a search can minimise without an evaluation."""


LEAST_EVALUATED = 100
"""Galaxies of an evaluation, below which scores mean nothing."""

LARGEST = 2**62
"""Of whole numbers that have no other bound."""
LARGEST_EXACT = 2**53
"""Up to which a number such as 1e4 is one whole number and no other."""


def check_whole_numbers(config: DictConfig, least: dict[str, int], most: int = LARGEST) -> None:
    """Check that values of a config are whole numbers in their range; make `1e4` an int.

    Args:
        config: a command's; a value such as 1e4 is replaced.
        least: smallest value by key.
        most: the largest value.

    Raises:
        GalgenError: naming the first that is not.
    """
    for name, smallest in least.items():
        value = config[name]
        if type(value) is float and value.is_integer() and abs(value) <= LARGEST_EXACT:
            config[name] = value = int(value)
        if type(value) is not int or not smallest <= value <= most:
            raise GalgenError(
                f"{name}={value}: it must be a whole number from {smallest} to {most}. Give one."
            )


def check_rules(config: DictConfig) -> None:
    """Check what no single group can check by itself.

    Raises:
        GalgenError: if two parts of the config contradict each other.
    """
    for group in ("model", "data", "trainer"):
        if "_target_" not in config[group]:
            raise GalgenError(f"{group}: this option is not a {group}. See --help for the options.")
    _check_top_level(config)
    check_trainer(config)
    _check_clipping(config)
    _check_sweep(config)
    if not {"best", "last"} <= config.callbacks.keys():
        raise GalgenError(
            "callbacks: a run needs the checkpoints of callbacks=default; to add to them, give "
            "callbacks=[default,...]."
        )
    if type(config.seed) is not int or config.seed < 0:
        raise GalgenError(f"seed={config.seed}: it must be a whole number from 0.")
    if config.init_from and not is_run(locate(config.init_from, "init_from")):
        raise GalgenError(f"init_from={config.init_from}: this is not a run. Give a run directory.")
    epochs = config.trainer.max_epochs
    if config.resume not in ("auto", "never"):
        raise GalgenError(f"resume={config.resume}: it can be 'auto' or 'never'.")
    values = config.beta_schedule.get("values")
    if values is not None and not isinstance(values, ListConfig):
        raise GalgenError(f"beta_schedule.values={values}: it takes a list such as [0.1,0.2].")
    if values is not None and len(values) != epochs:
        raise GalgenError(
            f"beta_schedule.values has {len(values)} values, it takes one for each of the "
            f"{epochs} epochs of trainer.max_epochs."
        )
    if config.model.image_size != config.data.image_size:
        raise GalgenError(
            f"{config.model.name} is made for {config.model.image_size} px and data.image_size is "
            f"{config.data.image_size}. Give data.image_size={config.model.image_size} (stamps are "
            "cropped around their centre), or choose model=vae."
        )


def _check_top_level(config: DictConfig) -> None:
    """Refuse a key that `+` added and no command reads."""
    known = set()
    for name in ("train", "_training", "console"):
        content = OmegaConf.load(CONF / f"{name}.yaml")
        groups = [item for item in content.defaults if isinstance(item, DictConfig)]
        known |= {*content, *(next(iter(group)) for group in groups)}
    for key in config:
        if key not in known:
            raise GalgenError(f"{key}: there is no such key.")


def _check_clipping(config: DictConfig) -> None:
    trainer = config.trainer
    if (
        trainer.precision == "16-mixed"
        and trainer.gradient_clip_val
        and config.optimizer.get("fused")
    ):
        raise GalgenError(
            "trainer.gradient_clip_val and a fused optimizer do not go together at "
            "trainer.precision=16-mixed. Give optimizer.fused=false, or precision=bf16-mixed."
        )


def _check_sweep(config: DictConfig) -> None:
    rooms = config.launcher.get("jobs_per_gpu", 0)
    if type(rooms) is not int or rooms < 0:
        raise GalgenError(f"launcher.jobs_per_gpu={rooms}: it must be a whole number from 0.")
    objective = config.search.objective if config.search else LOSSES[0]
    if objective not in LOSSES and not re.fullmatch(r"\w+\.\w+", str(objective)):
        raise GalgenError(
            f"search.objective={objective}: it can be {', '.join(LOSSES)}, or a score of the "
            "evaluation of galaxies from a prior. Give one such as flow.mean_w1."
        )
    n = config.search.n if config.search else LEAST_EVALUATED
    if type(n) is not int or n < LEAST_EVALUATED:
        raise GalgenError(
            f"search.n={n}: an evaluation needs {LEAST_EVALUATED} galaxies. Give a whole number "
            f"from {LEAST_EVALUATED}."
        )
