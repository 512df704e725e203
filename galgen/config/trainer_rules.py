"""Which arguments of Lightning's Trainer a training takes, and why it refuses the others."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from galgen.errors import GalgenError

AUTO = "auto"
"""The precision that the processor computes fastest, of these."""
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", AUTO)
"""In the others the latents, which stay in float32, do not fit the weights."""
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true")
UNITS = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}
LEAVE_OUT = "Leave it out"


@dataclass
class Rule:
    """The values allowed for an argument, and the reason to refuse others."""

    fits: Callable[[object], bool]
    reason: str
    remedy: str = LEAVE_OUT


def _whole(least: int, *others) -> Callable[[object], bool]:
    """Return whether a value is a whole number from the least, or one of some other values."""
    return lambda value: (type(value) is int and value >= least) or value in others


def _one_of(*values) -> Callable[[object], bool]:
    """Return whether a value is one of some, where true is not 1 and false not 0."""
    return lambda value: any(value == v and type(value) is type(v) for v in values)


def _share(value) -> bool:
    return value is None or (type(value) is int and value > 0) or (
        type(value) is float and 0 < value <= 1
    )  # fmt: skip


def _device_names(value) -> bool:
    return bool(value) and (type(value) is not int or value >= -1) and type(value) is not bool


FLAG = Rule(_one_of(None, True, False), "it can be true or false", "Give one of them")
BATCHES = Rule(
    _share,
    "an epoch needs batches: a whole number of them from 1, or a share above 0 and up to 1.0",
    "Choose trainer=debug for a short try",
)
NOT_USED = Rule(_one_of(None), "a training neither tests nor predicts")
OF_GALGEN = Rule(_one_of(None), "galgen writes the checkpoints and knows the clusters itself")
RULES = {
    "accelerator": Rule(
        _one_of("auto", "cpu", "gpu", "cuda", "mps"),
        "it can be auto, cpu, gpu, cuda or mps",
        "Give one of them",
    ),
    "strategy": Rule(
        _one_of(*STRATEGIES),
        "galgen divides batches as ddp does, and starts no processes by other means",
        "Give trainer.strategy=ddp, or auto",
    ),
    "devices": Rule(
        _device_names,
        "it can be a number from 1, -1 for all, auto, or a list of devices",
        "Give one of them",
    ),
    "num_nodes": Rule(_whole(1), "it must be a positive whole number", "Give the machines"),
    "precision": Rule(
        _one_of(*PRECISIONS), f"it can be {', '.join(PRECISIONS)}", "Give one of them"
    ),
    "logger": Rule(
        _one_of(None), "the group logger chooses it", "Give logger=tensorboard or logger=wandb"
    ),
    "callbacks": Rule(
        _one_of(None), "the group callbacks chooses them", "Give callbacks=[default,early_stopping]"
    ),
    "fast_dev_run": Rule(
        _one_of(None, False, 0),
        "a run needs training, validation and its checkpoints",
        "Choose trainer=debug",
    ),
    "max_epochs": Rule(_whole(1), "it must be a positive whole number", "Give the epochs"),
    "min_epochs": Rule(
        _whole(0, None), "it must be a whole number from 0", "Give the epochs before a stop"
    ),
    "max_steps": Rule(
        _one_of(-1, None),
        "checkpoints, schedules and metrics.csv go by whole epochs",
        "Give trainer.max_epochs, and trainer.limit_train_batches=<n> for epochs of n batches",
    ),
    "min_steps": Rule(
        _one_of(None),
        "checkpoints, schedules and metrics.csv go by whole epochs",
        "Give trainer.min_epochs",
    ),
    "max_time": Rule(
        lambda value: value is None or math.isfinite(seconds(value)),
        "it takes days, hours, minutes and seconds",
        "Give trainer.max_time=00:11:30:00, or trainer.max_time={hours: 11, minutes: 30}",
    ),
    "limit_train_batches": BATCHES,
    "limit_val_batches": BATCHES,
    "limit_test_batches": NOT_USED,
    "limit_predict_batches": NOT_USED,
    "overfit_batches": Rule(
        _one_of(None, 0, 0.0),
        "it would validate on galaxies of the training part",
        "Train on a stamp file of a few galaxies",
    ),
    "val_check_interval": Rule(
        _one_of(None, 1.0),
        "validation comes at the end of an epoch, of which metrics.csv has a row each",
        "Give trainer.limit_train_batches=<n> for epochs of n batches",
    ),
    "check_val_every_n_epoch": Rule(
        _whole(1), "it must be a whole number from 1", "Give 1 for each epoch"
    ),
    "num_sanity_val_steps": Rule(_whole(-1, None), "it must be a whole number", "Give 0 for none"),
    "log_every_n_steps": Rule(_whole(0, None), "it must be a whole number from 0", "Give 1"),
    "enable_checkpointing": Rule(_one_of(None, True), "a run needs its checkpoints"),
    "enable_progress_bar": Rule(
        _one_of(None), "the group callbacks chooses the bar", "Give callbacks.progress=null"
    ),
    "enable_model_summary": FLAG,
    "accumulate_grad_batches": Rule(
        _whole(1), "it must be a positive whole number", "Give the batches of a step"
    ),
    "gradient_clip_val": Rule(
        lambda value: value is None or (type(value) in (int, float) and 0 <= value < math.inf),
        "it must be a number from 0",
        "Give trainer.gradient_clip_val=1",
    ),
    "gradient_clip_algorithm": Rule(
        _one_of(None, "norm", "value"), "it can be norm or value", "Give one of them"
    ),
    "deterministic": Rule(
        _one_of(None, True, False, "warn"), "it can be true, false or warn", "Give one of them"
    ),
    "benchmark": FLAG,
    "inference_mode": FLAG,
    "use_distributed_sampler": Rule(
        _one_of(False), "galgen's own batches divide the galaxies among processes"
    ),
    "profiler": Rule(
        _one_of(None, "simple", "pytorch"), "it can be simple or pytorch", "Give one of them"
    ),
    "detect_anomaly": FLAG,
    "barebones": Rule(
        _one_of(None, False), "a run needs the metrics and checkpoints that it switches off"
    ),
    "plugins": OF_GALGEN,
    "sync_batchnorm": FLAG,
    "reload_dataloaders_every_n_epochs": Rule(
        _one_of(None, 0), "batches are a function of seed and epoch, so there is nothing to reload"
    ),
    "model_registry": OF_GALGEN,
    "enable_autolog_hparams": FLAG,
}
"""By argument; `default_root_dir`, which depends on the run, apart."""


def check_trainer(config: DictConfig) -> None:
    """Check each argument of the Trainer, and those that depend on each other.

    Args:
        config: a train config.

    Raises:
        GalgenError: naming the first that is refused.
    """
    trainer = config.trainer
    for key, value in trainer.items():
        rule = RULES.get(key)
        if rule and not rule.fits(value):
            raise refusal(key, value, rule.reason, rule.remedy)
    if trainer.get("default_root_dir", config.run_dir) != config.run_dir:
        root = trainer.default_root_dir
        reason = "a run keeps everything in its directory"
        raise refusal("default_root_dir", root, reason, "Give run_root=<folder>")
    epochs, every = trainer.max_epochs, trainer.get("check_val_every_n_epoch", 1)
    for key in ("min_epochs", "check_val_every_n_epoch"):
        if (trainer.get(key) or 0) > epochs:
            reason = f"the training has {epochs} epochs"
            raise refusal(key, trainer[key], reason, f"Give at most {epochs}")
    if every > 1 and "Plateau" in (config.lr_schedule or {}).get("_target_", ""):
        reason = "lr_schedule=plateau needs the validation loss of each epoch"
        raise refusal("check_val_every_n_epoch", every, reason, "Give 1, or another lr_schedule")


def check_shares(trainer: DictConfig, datamodule) -> None:
    """Check that the shares of batches that an epoch takes are at least a batch.

    Raises:
        GalgenError: if one is not.
    """
    loaders = {
        "limit_train_batches": datamodule.train_dataloader,
        "limit_val_batches": datamodule.val_dataloader,
    }
    for key, loader in loaders.items():
        share = trainer.get(key)
        if type(share) is float and int(share * (n := len(loader()))) < 1:
            reason = f"the part has {n} batches, of which this is less than one"
            raise refusal(key, share, reason, f"Give a whole number from 1 to {n}")


def refusal(key: str, value, reason: str, remedy: str) -> GalgenError:
    """Make the error that refuses a value of the Trainer's argument."""
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value)
    shown = {None: "null", True: "true", False: "false"}.get(value) if _plain(value) else None
    return GalgenError(f"trainer.{key}={shown or value}: {reason}. {remedy}.")


def seconds(time: str | DictConfig | dict) -> float:
    """Return the seconds of a `max_time`, NaN where it is none.

    Args:
        time: `days:hours:minutes:seconds`, or numbers by unit.
    """
    if isinstance(time, str):
        parts = time.split(":")
        if len(parts) != len(UNITS) or not all(part.strip().isdecimal() for part in parts):
            return math.nan
        time = dict(zip(UNITS, map(int, parts), strict=True))
    if not hasattr(time, "items") or not time or not set(time) <= UNITS.keys():
        return math.nan
    if not all(type(number) in (int, float) and number >= 0 for number in time.values()):
        return math.nan
    return float(sum(UNITS[unit] * number for unit, number in time.items()))


def _plain(value) -> bool:
    return value is None or type(value) is bool
