"""`python -m galgen.train`: train a model on a survey, into a run directory."""

import contextlib
import logging
import sys
import warnings
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from galgen import runs
from galgen.config import check_arguments, check_targets, command, instantiate
from galgen.errors import GalgenError

# torch and Lightning are imported where they are needed: composing, --help and the second call of
# a finished run take less than a second without them.


@command("train")
def main(config: DictConfig) -> None:
    """Train, or go on training, or say what a finished training arrived at."""
    run = runs.Run(config)
    if run.result is None or config.overwrite:
        check_rules(config)
        check_targets(config)
        check_arguments(config)
        train(config, run)
    else:
        run.check_config()
    report(run)


def check_rules(config: DictConfig) -> None:
    """Check what no single group can check by itself.

    Raises:
        GalgenError: if two parts of the config contradict each other.
    """
    epochs = config.trainer.max_epochs
    if not isinstance(epochs, int) or epochs < 1:
        raise GalgenError(f"trainer.max_epochs is {epochs}, it must be a positive whole number")
    if config.resume not in ("auto", "never"):
        raise GalgenError(f"resume is {config.resume!r}, it can be 'auto' or 'never'")
    values = config.beta_schedule.get("values")
    if values is not None and (len(values) != epochs or config.trainer.max_steps != -1):
        raise GalgenError(
            f"beta_schedule.values has {len(values)} values, it takes one for each of the "
            f"{epochs} epochs of trainer.max_epochs (and no trainer.max_steps)"
        )
    if config.model.image_size != config.data.image_size:
        raise GalgenError(
            f"{config.model.name} is made for {config.model.image_size} px and data.image_size is "
            f"{config.data.image_size}; give data.image_size={config.model.image_size} (stamps are "
            "cropped around their centre), or choose model=vae"
        )


def check_fit(model, datamodule) -> None:
    """Check that the model can be trained and can make what the survey holds.

    Raises:
        ValueError: if an argument of the optimizer is out of range.
        GalgenError: if redshifts are missing, or pixels lie outside the model's output.
    """
    model.configure_optimizers()  # for the errors of its arguments
    if model.conditional:
        datamodule.require_redshifts()
    low, high = datamodule.value_range
    output = type(model.output).__name__.lower()
    if output == "sigmoid" and (low < 0 or high > 1):
        transform = type(datamodule.transform).__name__.lower()
        raise GalgenError(
            "model.output=sigmoid makes pixels between 0 and 1, and the survey's are not after "
            f"the transform '{transform}'; give model.output=softplus or none, or transform=peak"
        )


def train(config: DictConfig, run: runs.Run) -> None:
    """Build everything, fit, and mark the run as done."""
    from pytorch_lightning import seed_everything
    from pytorch_lightning.utilities import rank_zero_only

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec")  # Lightning 2.6 on torch 2.13
    warnings.filterwarnings("ignore", message=".*does not have many workers")  # batches are cached
    warnings.filterwarnings("ignore", message=".*exists and is not empty")  # a resume
    seed_everything(config.seed, verbose=False)
    datamodule = instantiate(config.data)
    model = instantiate(config.model)
    datamodule.prepare_data()
    datamodule.setup("fit")
    check_fit(model, datamodule)
    if config.init_from:
        start_from(model, config.init_from)
    first_rank = rank_zero_only.rank == 0  # other ranks run this same command
    with run.lock() if first_rank else contextlib.nullcontext():
        if first_rank:
            begin(config, run, datamodule)
        fit(config, run, model, datamodule)
        if first_rank:
            finish(run)


def begin(config: DictConfig, run: runs.Run, datamodule) -> None:
    """Make the run directory ready, or see that it can be gone on with."""
    if config.overwrite:
        run.clear()
    run.check_config()
    if config.resume == "never" and run.last_checkpoint.is_file():
        raise GalgenError(
            f"{run.directory} holds a training that was cut, and resume=never; give resume=auto "
            "to go on with it, or overwrite=true to start afresh"
        )
    run.remember(datamodule.facts())


def start_from(model, other: str) -> None:
    """Copy the best weights of another run into the model."""
    from galgen.checkpoints import load_weights, read_checkpoint

    path = Path(other) / "checkpoints" / "best.ckpt"
    load_weights(model, read_checkpoint(path)["state_dict"], path)


def fit(config: DictConfig, run: runs.Run, model, datamodule) -> None:
    """Run Lightning's Trainer, from the last checkpoint where there is one."""
    from galgen.checkpoints import AtomicCheckpointIO

    callbacks = [instantiate(node) for node in config.callbacks.values() if node]
    loggers = make_loggers(config, run)
    trainer = instantiate(
        config.trainer,
        callbacks=callbacks,
        logger=loggers,
        plugins=[AtomicCheckpointIO()],
        enable_progress_bar=bool(config.callbacks.get("progress")),
    )
    resume = run.last_checkpoint if run.last_checkpoint.is_file() else None
    if resume:
        print(f"going on from {resume}")
    try:
        trainer.fit(model, datamodule=datamodule, ckpt_path=resume)
    except SystemExit:
        if trainer.interrupted:  # Lightning turns Ctrl-C into an exit
            raise KeyboardInterrupt from None
        raise
    finally:
        finish_tracking()
    if trainer.interrupted:
        raise KeyboardInterrupt


def make_loggers(config: DictConfig, run: runs.Run) -> list:
    """Make metrics.csv's logger, and the one that `logger` chooses."""
    from galgen.loggers import MetricsCSV

    loggers = [MetricsCSV(run.directory)]
    if config.logger:
        tracked = config.logger._target_.endswith("WandbLogger")
        arguments = {"id": run.tracking_id()} if tracked else {}
        loggers.append(instantiate(config.logger, **arguments))
        loggers[-1].log_hyperparams(OmegaConf.to_container(runs.stored_form(config)))
    return loggers


def finish_tracking() -> None:
    """End the W&B run, if there is one; the next job of a sweep would go on in it."""
    if "wandb" in sys.modules:
        sys.modules["wandb"].finish()


def finish(run: runs.Run) -> None:
    """Draw the loss curves and mark the run as done."""
    from galgen import figures

    rows = runs.read_metrics(run.directory)
    figures.save(figures.losses(rows), run.directory / "figures" / "losses.png")
    best = min(rows, key=lambda row: row.get("val/loss", float("inf")))
    run.finish({"best": best, "last": rows[-1]})


def report(run: runs.Run) -> None:
    """Say what the training arrived at and where it lies."""
    if run.result:
        best = run.result["best"]
        print(
            f"{run.directory}: {run.result['last']['epoch']:.0f} epochs, best val/loss "
            f"{best['val/loss']:.4g} (reconstruction {best['val/reconstruction']:.4g}, KL "
            f"{best['val/kl']:.4g} nats) at epoch {best['epoch']:.0f}"
        )
        print(f"pictures: {run.directory / 'figures'} and {run.directory / 'samples'}")


if __name__ == "__main__":
    main()
