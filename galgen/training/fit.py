"""One training: everything is built, fitted, and the run marked as done."""

import contextlib
import logging
import math
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from pytorch_lightning import seed_everything
from pytorch_lightning.callbacks import EarlyStopping, ModelSummary, ProgressBar
from pytorch_lightning.profilers import PyTorchProfiler, SimpleProfiler
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import SIGTERMException

from galgen.config.run_paths import weights_file
from galgen.config.targets import instantiate
from galgen.config.trainer_rules import check_shares, seconds
from galgen.errors import DamagedCheckpoint, GalgenError, InUse
from galgen.files import written_whole
from galgen.models.checkpoints import load_weights, read_checkpoint
from galgen.runs import metrics as records
from galgen.runs.directory import Run
from galgen.runs.prior_records import forget_prior
from galgen.runs.verdict import judge
from galgen.training.callbacks import SaveOnSignal
from galgen.training.checkpoint_io import AtomicCheckpointIO
from galgen.training.checks import check_fit, needs
from galgen.training.clusters import cluster
from galgen.training.loggers import MetricsCSV
from galgen.training.memory_format import choose_memory_format
from galgen.training.model_training import ModelTraining
from galgen.training.precision import choose_precision
from galgen.training.preemption import Preempted
from galgen.training.tracking import WandbLogger, flat_config

AVAILABLE = {
    "gpu": torch.accelerator.is_available,
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
}
"""Whether an accelerator is available, by the Trainer's name for it."""
LEARNED_FROM = 256
"""Galaxies that the usual noise and PSF are of."""


def train(config: DictConfig, run: Run) -> None:
    """Build everything, fit, and mark the run as done.

    Args:
        config: composed train config.
        run: its run directory.

    Raises:
        GalgenError: if the training cannot begin, or ended before its first validation.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec")  # Lightning 2.6 on torch 2.13
    warnings.filterwarnings("ignore", message=".*does not have many workers")  # batches are cached
    warnings.filterwarnings("ignore", message=".*exists and is not empty")  # a resume
    warnings.filterwarnings("ignore", message=".*dataloader is not resumable")  # its module is
    warnings.filterwarnings("ignore", message=".*sync_dist=True")  # means are joined before
    seed_everything(config.seed, verbose=False)
    datamodule = instantiate(config.data)
    model = instantiate(config.model)
    choose_precision(config, run.directory)
    trainer = make_trainer(config)
    choose_memory_format(model, trainer.strategy.root_device, config.trainer.precision)
    training = ModelTraining(model)
    make_optimizers(training)
    datamodule.needs = needs(model)
    datamodule.prepare_data()
    datamodule.setup("fit")
    check_fit(model, datamodule)
    if model.telescope is not None:
        first = np.arange(min(LEARNED_FROM, len(datamodule.parts["train"])))
        model.telescope.learn(datamodule.batch("train", first))
    check_shares(config.trainer, datamodule)
    for callback in trainer.callbacks:  # those whose arguments depend on the survey
        if hasattr(callback, "check_survey"):
            callback.check_survey(datamodule)
    resumes = run.last_checkpoint.is_file() and not config.overwrite
    if config.init_from and not resumes:
        start_from(model, config.init_from)
    first_rank = rank_zero_only.rank == 0  # other ranks run this same command
    with run.lock() if first_rank else contextlib.nullcontext():
        if first_rank:
            begin(config, run, datamodule)
        trainer.loggers = make_loggers(config, run) if first_rank else []
        fit(trainer, training, datamodule, run)
        if not first_rank:
            sys.exit(0)
        finish(run, model, datamodule)


def make_optimizers(training: ModelTraining) -> None:
    """Make the optimizer and its schedule, which Lightning is given later.

    So an argument that is out of range is refused before the run directory is touched. A model that
    moves to a device keeps its parameters, and with them its optimizer.

    Raises:
        ValueError: if an argument is out of range.
    """
    made = training.configure_optimizers()
    training.configure_optimizers = lambda: made


def begin(config: DictConfig, run: Run, datamodule) -> None:
    """Prepare the run directory, or check that its training can be resumed.

    Raises:
        InUse: if another process finished it while this one was starting.
        GalgenError: if it holds another run, or an interrupted one and resume=never.
    """
    if config.overwrite:
        run.clear()
    if run.result:
        raise InUse(
            f"run_dir={run.directory}: another process has just finished this run. "
            "Give the same command again to see its result."
        )
    run.check_config()
    if config.resume == "never" and run.last_checkpoint.is_file():
        raise GalgenError(
            f"run_dir={run.directory}: an interrupted training is here and resume=never. Use "
            "resume=auto to continue it, or overwrite=true to start again."
        )
    if run.result is None:  # damaged, or of fewer epochs
        (run.directory / "DONE").unlink(missing_ok=True)
    forget_prior(run.directory)  # which were fitted to other weights
    run.remember(datamodule.facts())


def start_from(model, other: str) -> None:
    """Copy the networks' best weights of another run into the model."""
    path = weights_file(Path(other) / "checkpoints", "best")
    state = read_checkpoint(path)["state_dict"]
    for part in ("encoder.", "decoder."):
        weights = {k.removeprefix(part): v for k, v in state.items() if k.startswith(part)}
        load_weights(model.get_submodule(part[:-1]), weights, path)


def make_trainer(config: DictConfig):
    """Make Lightning's Trainer and its callbacks; it writes nothing yet.

    Raises:
        GalgenError: if it is to use a GPU and there is none.
    """
    wanted = config.trainer.accelerator
    if wanted in AVAILABLE and not AVAILABLE[wanted]():
        raise GalgenError(
            f"trainer.accelerator={wanted}: torch finds no GPU here. Choose trainer=default, which "
            "takes what there is."
        )
    nodes = {name: node for name, node in config.callbacks.items() if node}
    if not sys.stdout.isatty():  # a log file gets a line an epoch
        nodes.pop("progress", None)
    callbacks = list(map(instantiate, nodes.values()))
    if config.trainer.enable_model_summary:
        callbacks.append(ModelSummary(max_depth=2))  # the model's parts, not the model alone
    last, pause = Path(config.run_dir) / "checkpoints" / "last.ckpt", config.trainer.get("max_time")
    # A signal ends a step after all else has been done in it, the moving average for one.
    leave = SaveOnSignal(last, seconds(pause) if pause is not None else math.inf)
    return instantiate(
        config.trainer,
        max_time=None,  # Lightning would call a training done that it has cut
        profiler=make_profiler(config),
        callbacks=[*callbacks, leave],
        logger=False,
        plugins=[AtomicCheckpointIO(), *cluster(config.trainer.devices, config.trainer.num_nodes)],
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
    )


def make_profiler(config: DictConfig):
    """Make Lightning's profiler of a name; its table and trace go into the run directory."""
    place = {"dirpath": config.run_dir, "filename": "profile"}
    if config.trainer.profiler == "pytorch":
        # The names of modules come from hooks, around which nothing can be compiled.
        return PyTorchProfiler(**place, record_module_names=False, row_limit=30)
    return SimpleProfiler(**place) if config.trainer.profiler else None


def fit(trainer, training: ModelTraining, datamodule, run: Run) -> None:
    """Train from the last checkpoint, where there is one.

    Raises:
        Preempted: if a signal stopped the training, after a checkpoint.
    """
    resume = resumable(training.model, run)
    if resume and stopped_early(trainer, resume):
        return
    if resume and rank_zero_only.rank == 0:
        print(f"resuming from {resume}")
    try:
        trainer.fit(training, datamodule=datamodule, ckpt_path=resume)
    except SIGTERMException:
        if not trainer.is_global_zero:
            sys.exit(0)  # the first process prints the results and sets the exit code
        why = next(c.why for c in trainer.callbacks if isinstance(c, SaveOnSignal))
        raise Preempted(f"stopped by {why}. The same command continues from here.") from None
    except SystemExit:
        if trainer.interrupted:  # Lightning turns Ctrl-C into an exit
            raise KeyboardInterrupt from None
        raise
    finally:
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.end(failed=trainer.interrupted)


def stopped_early(trainer, resume: Path) -> bool:
    """Say whether early stopping has ended the training whose checkpoint this is."""
    checkpoint = read_checkpoint(resume)
    states = [
        checkpoint["callbacks"].get(callback.state_key, {})
        for callback in trainer.callbacks
        if isinstance(callback, EarlyStopping)
    ]
    ended = any(0 < state.get("stopped_epoch", 0) == checkpoint["epoch"] for state in states)
    return ended and checkpoint["epoch"] + 1 >= (trainer.min_epochs or 0)


def resumable(model, run: Run) -> Path | None:
    """Return the checkpoint to resume from, if any: the last, or the best if the last is damaged.

    Raises:
        GalgenError: if both are damaged, or one is of another model or no training.
    """
    path, best = (run.last_checkpoint.with_stem(name) for name in ("last", "best"))
    if not path.is_file():
        return None
    try:
        checkpoint = read_checkpoint(path)
    except DamagedCheckpoint as error:
        if not best.is_file():
            raise
        checkpoint = read_checkpoint(best)
        if rank_zero_only.rank == 0:
            with written_whole(path) as part:
                shutil.copyfile(best, part)
            print(f"galgen: {error} Going back to the best epoch.", file=sys.stderr)
        else:
            path = best
    if "loops" not in checkpoint:
        raise GalgenError(f"{path}: holds weights, but no training to resume.")
    load_weights(model, checkpoint["state_dict"], path)
    return path


def make_loggers(config: DictConfig, run: Run) -> list:
    """Make metrics.csv's logger, and the one that `logger` chooses."""
    loggers = [MetricsCSV(run.directory)]
    if config.logger:
        loggers.append(instantiate(config.logger))
        loggers[-1].log_hyperparams(flat_config(config))
    return loggers


def finish(run: Run, model, datamodule) -> None:
    """Judge the best epoch's model, and mark the run as done.

    Raises:
        GalgenError: if the training ended before its first validation.
    """
    rows = records.read_metrics(run.directory)
    if not any("val/loss" in row for row in rows):
        raise GalgenError(
            f"{run.directory}: the training ended before its first validation, so it has no "
            "result. Let it take more steps (trainer.max_steps, trainer.max_epochs)."
        )
    best = min(rows, key=lambda row: row.get("val/loss", float("inf")))
    path = run.last_checkpoint.with_stem("best")
    load_weights(model, read_checkpoint(path)["state_dict"], path)
    with torch.compiler.set_stance("force_eager"):  # a few galaxies are not worth compiling for
        verdict = judge(model.eval(), datamodule)
    run.finish({"best": best, "last": rows[-1], "verdict": verdict})
