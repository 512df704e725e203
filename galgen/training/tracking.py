"""What Weights & Biases and TensorBoard get to know of a training and of its evaluation."""

import os
from importlib import import_module
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from pytorch_lightning import loggers
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from galgen.config.targets import SPECIAL
from galgen.files import write_text
from galgen.runs.metrics import read_metrics
from galgen.runs.run_config import NOT_CONTENT, flatten

INIT_TIMEOUT = 30
"""Seconds that W&B has to answer when a run begins; it takes ten more to give up."""
FINISH_TIMEOUT = 60
"""Seconds that W&B has to upload the rest when a run ends; what it cannot stays on disk."""
SUMMARIES = {"val/loss": "min", "val/reconstruction": "min", "images_per_second": "max"}
"""What W&B's summary keeps of metrics whose last value is not the one to compare."""
_FALLEN_BACK: set[str] = set()
"""Open runs of this process that are recorded offline since W&B does not answer. It is not asked
again while there are any, and its service, which they need, is not torn down."""
AGENT = "WANDB_SWEEP_ID"
"""Environment variable that a W&B agent sets for the trials of its sweep."""


class WandbLogger(loggers.WandbLogger):
    """A run in W&B, under one id for its training, its resumes and its evaluations.

    Args:
        save_dir: the run directory.
        **arguments: of Lightning's WandbLogger, and of `wandb.init`.
    """

    def __init__(self, save_dir: str, **arguments):
        super().__init__(save_dir=save_dir, id=tracking_id(Path(save_dir)), **arguments)

    @property
    @rank_zero_experiment
    def experiment(self):
        """W&B's run, which begins at first use."""
        if self._experiment is None:
            self._experiment = begin(self._wandb_init)
            self._experiment.define_metric("epoch")
            self._experiment.define_metric("*", step_metric="epoch")
            for name, summary in SUMMARIES.items():
                self._experiment.define_metric(name, step_metric="epoch", summary=summary)
        return self._experiment

    def log_hyperparams(self, params: dict) -> None:
        """Log a flat config; a sweep's agent has already set its own values."""
        self.experiment.config.setdefaults(params)

    def log_metrics(self, metrics: dict, step: int | None = None) -> None:
        """Log metrics of an epoch."""
        super().log_metrics(counted_from_one(metrics), step)

    def log_picture(self, name: str, path: Path, caption: str, epoch: int, step: int) -> None:
        """Log a picture of an epoch, counted from 1, at a number of optimizer steps."""
        import wandb

        self.experiment.log({name: wandb.Image(str(path), caption=caption), "epoch": epoch})

    def log_evaluation(self, scores: dict, pictures: dict[str, tuple[Path, str]]) -> None:
        """Log scores by sample and name, and pictures with captions by name, and end."""
        import wandb

        columns = list(dict.fromkeys(name for row in scores.values() for name in row))
        rows = [[sample, *map(row.get, columns)] for sample, row in scores.items()]
        table = {"evaluation/scores": wandb.Table(["sample", *columns], rows)}
        for name, (path, caption) in pictures.items():
            table[f"evaluation/{name}"] = wandb.Image(str(path), caption=caption)
        self.experiment.log(table)
        self.experiment.summary.update(by_name(scores))
        self.end()

    def end(self, failed: bool = False) -> None:
        """End W&B's run, if it has started."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=int(failed))
            _FALLEN_BACK.discard(self._experiment.id)

    def finalize(self, status: str) -> None:
        """Put the best epoch into the summary, also of a run that was cut and resumed."""
        if self._experiment is not None:
            self._experiment.summary.update(best_epoch(Path(self.save_dir)))
        super().finalize(status)


class TensorBoardLogger(loggers.TensorBoardLogger):
    """A run in TensorBoard: event files in the run directory.

    Args:
        save_dir: the run directory.
        **arguments: of Lightning's TensorBoardLogger.
    """

    def __init__(self, save_dir: str, **arguments):
        import_module("tensorboard")  # Lightning's own error does not say which extra has it
        super().__init__(save_dir=save_dir, default_hp_metric=False, **arguments)

    def log_metrics(self, metrics: dict, step: int | None = None) -> None:
        """Log metrics of an epoch."""
        super().log_metrics(counted_from_one(metrics), step)

    def log_picture(self, name: str, path: Path, caption: str, epoch: int, step: int) -> None:
        """Log a picture of an epoch, counted from 1, at a number of optimizer steps."""
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        self.experiment.add_image(name, pixels, step, dataformats="HWC")
        self.experiment.add_text(f"{name}/caption", caption, step)

    def log_evaluation(self, scores: dict, pictures: dict[str, tuple[Path, str]]) -> None:
        """Log scores by sample and name, and pictures with captions by name, and end."""
        for name, value in by_name(scores).items():
            self.experiment.add_scalar(name, value, 0)
        for name, (path, caption) in pictures.items():
            self.log_picture(f"evaluation/{name}", path, caption, 0, 0)
        self.experiment.close()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Log the best epoch beside the config, which TensorBoard's HPARAMS shows, and end."""
        best = best_epoch(Path(self.save_dir))
        if best:
            self.log_hyperparams(self.hparams, best)
        super().finalize(status)


LOGGERS = {"WandbLogger": WandbLogger, "TensorBoardLogger": TensorBoardLogger}


def reopen(directory: Path, node: DictConfig | None) -> WandbLogger | TensorBoardLogger | None:
    """Return the logger of a finished training, to add to its records.

    Args:
        directory: the run directory.
        node: `logger` of the run's config.

    Returns:
        The logger; None if the run is in neither service.
    """
    kind = LOGGERS.get(str(node["_target_"]).rpartition(".")[2]) if node else None
    if kind is None:
        return None
    arguments = OmegaConf.to_container(node)
    own = {name: arguments[name] for name in arguments if name not in (*SPECIAL, "save_dir")}
    return kind(save_dir=str(directory), **own)


def begin(arguments: dict):
    """Begin or resume a W&B run; if W&B does not answer, record it offline.

    Args:
        arguments: of `wandb.init`.

    Returns:
        W&B's run.
    """
    import wandb

    settings = wandb.Settings(
        init_timeout=INIT_TIMEOUT, finish_timeout=FINISH_TIMEOUT, reinit="create_new"
    )
    chosen = ("project", "id") if AGENT in os.environ else ()  # by the agent
    arguments = {
        name: value for name, value in arguments.items() if value is not None and name not in chosen
    }
    if _FALLEN_BACK:
        arguments["mode"] = "offline"
    try:
        return wandb.init(**arguments, settings=settings)
    except (wandb.errors.CommError, wandb.errors.UsageError) as error:
        if arguments.get("mode") == "offline":
            raise
        reason = str(error).splitlines()[0]
    wandb.teardown()  # whose service would refuse the id as one in use
    run = wandb.init(**{**arguments, "mode": "offline"}, settings=settings)
    _FALLEN_BACK.add(run.id)
    print(
        f"W&B cannot be reached ({reason}): the run is recorded offline. Upload it later with: "
        f"wandb sync {Path(run.dir).parent}",
        flush=True,
    )
    return run


def tracking_id(directory: Path) -> str:
    """Return the id under which W&B knows a run: its agent's, or one made at first use.

    Args:
        directory: the run directory, which keeps it.
    """
    path = directory / "wandb_id.txt"
    if AGENT in os.environ and "WANDB_RUN_ID" in os.environ:
        write_text(path, os.environ["WANDB_RUN_ID"])
    elif not path.is_file():
        write_text(path, os.urandom(8).hex())
    return path.read_text().strip()


def flat_config(config: DictConfig) -> dict:
    """Give the values of a training's config by full keys such as `beta_schedule/beta`.

    A value that another key gives as well is left out; of paths, the last part stays. W&B takes a
    dot in a key for a level, which a flat config does not have.

    Args:
        config: composed train config.
    """
    facts = {
        key: node for key, node in OmegaConf.to_container(config).items() if key not in NOT_CONTENT
    }
    flat = {}
    for key, value in flatten(facts).items():
        text = isinstance(value, str)
        if key not in NOT_CONTENT and not (text and value.startswith("${")):
            name = key.replace(".", "/")
            flat[name] = Path(value).name if text and Path(value).is_absolute() else value
    return flat


def counted_from_one(metrics: dict) -> dict:
    """Count epochs as metrics.csv does; Lightning counts from 0."""
    return {**metrics, "epoch": metrics["epoch"] + 1} if "epoch" in metrics else metrics


def best_epoch(directory: Path) -> dict[str, float]:
    """Return the losses of a run's best epoch so far, by names such as `best/val/loss`."""
    rows = [row for row in read_metrics(directory) if "val/loss" in row]
    best = min(rows, key=lambda row: row["val/loss"], default={})
    kept = [name for name in best if name == "epoch" or name.startswith("val/")]
    return {f"best/{name}": best[name] for name in kept}


def by_name(scores: dict) -> dict[str, float]:
    """Name scores `evaluation/<sample>/<score>`; those that could not be measured are left out."""
    return {
        f"evaluation/{sample}/{name}": value
        for sample, row in scores.items()
        for name, value in row.items()
        if value is not None
    }
