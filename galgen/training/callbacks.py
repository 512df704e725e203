"""What happens around the training steps: checkpoints, guards, speed, rates."""

import math
import os
import shutil
import threading
import time
from pathlib import Path

import torch
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from galgen.errors import GalgenError
from galgen.training.loggers import MetricsCSV
from galgen.training.preemption import handle
from galgen.training.progress import duration

COMPILERS = (os.environ.get("CXX") or "g++", "c++", "clang++")
"""What torch compiles networks with; one is enough."""


class Checkpoint(ModelCheckpoint):
    """One checkpoint file, overwritten at the end of each epoch, or of each best one.

    Args:
        dirpath: folder of the file.
        filename: its name without `.ckpt`.
        monitor: metric whose lowest value decides; None saves each epoch.
    """

    def __init__(self, dirpath: str, filename: str, monitor: str | None = None):
        super().__init__(
            dirpath=dirpath,
            filename=filename,
            monitor=monitor,
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
        self.validated: int | None = None

    def on_validation_epoch_end(self, trainer, pl_module):
        """Note that this epoch has a validation, which the metric that decides is of."""
        self.validated = None if trainer.sanity_checking else trainer.current_epoch

    def on_train_epoch_end(self, trainer, pl_module):
        """Save the epoch after its row of metrics.csv, which a resume would not make again."""
        logged = trainer.logged_metrics
        row = {name: logged[name] for name in logged if not name.startswith("val/")}
        for logger in trainer.loggers:
            if isinstance(logger, MetricsCSV):
                logger.log_metrics({**row, "epoch": trainer.current_epoch})
        if self.monitor is None or self.validated == trainer.current_epoch:
            super().on_train_epoch_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict) -> None:
        """Restore the best score, also in a run directory that has been moved."""
        here = str(Path(self.dirpath) / f"{self.filename}.ckpt")
        moved = {"dirpath": self.dirpath, "best_model_path": here, "kth_best_model_path": here}
        moved["best_k_models"] = dict.fromkeys([here], state_dict["best_model_score"])
        if state_dict["best_model_score"] is None:
            moved = {"dirpath": self.dirpath}
        super().load_state_dict({**state_dict, **moved})


class StopOnNonFinite(Callback):
    """Stop when a loss is NaN or infinite, naming the step and the galaxies.

    It comes before the checkpoints, which therefore hold the last good epoch.

    Args:
        every: steps between looks at the losses of an accelerator; each look waits for it.
    """

    def __init__(self, every: int = 50):
        self.every = every
        self.pending = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Look at the loss of a training step, at once on the CPU."""
        self._add("training", trainer, outputs["loss"], batch)

    def on_validation_batch_end(
        self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0
    ):
        """Look at the loss of a validation batch, at once on the CPU."""
        self._add("validation", trainer, outputs, batch)

    def on_validation_epoch_end(self, trainer, pl_module):
        """Check the steps that are left."""
        self._look()

    def on_train_epoch_end(self, trainer, pl_module):
        """Check the steps that are left."""
        self._look()

    def _add(self, kind: str, trainer, loss: torch.Tensor, batch) -> None:
        place = f"{kind} loss at step {trainer.global_step}, epoch {trainer.current_epoch + 1}"
        self.pending.append((place, loss.detach(), batch.index))
        if loss.device.type == "cpu" or len(self.pending) >= self.every:
            self._look()

    def _look(self) -> None:
        pending, self.pending = self.pending, []
        if not pending or torch.stack([loss for _, loss, _ in pending]).isfinite().all():
            return
        place, loss, index = next(item for item in pending if not item[1].isfinite())
        raise GalgenError(
            f"{place} is {loss.item()}, in the batch of the galaxies in rows {index.tolist()} of "
            "the stamp file; the checkpoints keep the last good epoch. Try a lower optimizer.lr, "
            "or trainer.gradient_clip_val=1."
        )


class SaveOnSignal(Callback):
    """Write a checkpoint between two steps when a signal has come or time is up, then leave.

    A validation in progress is finished first. Of several processes, all stop at one step, and
    it is enough if one gets the signal.

    Args:
        path: the checkpoint.
        time: how long this process may train, seconds.
    """

    def __init__(self, path: Path, time: float = math.inf):
        self.path, self.time, self.received = path, time, False

    @property
    def why(self) -> str:
        """What ended the training."""
        return "a signal" if self.received or math.isinf(self.time) else "trainer.max_time"

    def on_train_start(self, trainer, pl_module):
        """Take the signals over from Lightning, which would cut a validation."""
        self.end = time.monotonic() + self.time
        if threading.current_thread() is threading.main_thread():
            handle(self._remember)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Stop in the middle of an epoch, when no gradients wait for the next step."""
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and not trainer.is_last_batch and self._any_received(trainer):
            raise SIGTERMException

    def on_train_epoch_end(self, trainer, pl_module):
        """Have Lightning stop after this epoch's checkpoints, unless it is the last epoch."""
        more = trainer.current_epoch + 1 < trainer.max_epochs
        trainer._signal_connector.received_sigterm = more and self._any_received(trainer)

    def on_exception(self, trainer, pl_module, exception):
        """Write the checkpoint of an epoch that has not ended."""
        if isinstance(exception, SIGTERMException) and not trainer.is_last_batch:
            trainer.save_checkpoint(self.path)

    def _remember(self, number: int, frame) -> None:
        self.received = True

    def _any_received(self, trainer) -> bool:
        received = self.received or time.monotonic() > self.end
        if trainer.world_size == 1:
            return received
        received = torch.tensor(int(received), device=trainer.strategy.root_device)
        torch.distributed.all_reduce(received, torch.distributed.ReduceOp.MAX)
        return bool(received)


class Accelerate(Callback):
    """Compile the networks in place, and have a GPU multiply float32 matrices as TF32.

    The names of the weights stay as they are. Convolutions in float32 are TF32 by torch's default.

    Args:
        mode: of torch.compile: `default`, `reduce-overhead` or `max-autotune`.
        dynamic: of torch.compile: whether one compiled network takes batches of all sizes; None
            finds out at the second size.
    """

    def __init__(self, mode: str = "default", dynamic: bool | None = None):
        self.mode, self.dynamic = mode, dynamic

    def setup(self, trainer, pl_module, stage):
        """Mark the networks; they are compiled at the first batch.

        Raises:
            GalgenError: if there is no compiler.
        """
        if not any(map(shutil.which, COMPILERS)):
            raise GalgenError(
                "callbacks.accelerate: torch needs a C++ compiler to compile networks, and none is "
                "installed. Install one (g++), or give callbacks.accelerate=null."
            )
        if trainer.strategy.root_device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        for network in (pl_module.model.encoder, pl_module.model.decoder):
            network.compile(mode=self.mode, dynamic=self.dynamic)


class LogRates(Callback):
    """Log the learning rate and the images per second of each epoch, and print a line."""

    def on_train_start(self, trainer, pl_module):
        """Start the clocks, in the middle of an epoch too."""
        self.images, self.started, self.validated = 0, time.perf_counter(), None
        self.batches, self.begun = 0, self.started

    def on_train_epoch_start(self, trainer, pl_module):
        """Start the clock of the epoch anew."""
        self.images, self.started = 0, time.perf_counter()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Count the images of a batch."""
        self.images += batch.share.total
        self.batches += 1
        if trainer.is_last_batch:  # which an accelerator may not have got to yet
            outputs["loss"].detach().cpu()
        self.seconds = time.perf_counter() - self.started

    def on_validation_epoch_end(self, trainer, pl_module):
        """Note that this epoch has a validation."""
        self.validated = trainer.current_epoch

    def on_train_epoch_end(self, trainer, pl_module):
        """Log the rates."""
        rates = {
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "images_per_second": self.images / self.seconds,
        }
        pl_module.log_dict(rates, rank_zero_only=True)
        means = pl_module.means["train"].over_ranks(trainer.strategy)
        if trainer.is_global_zero:
            parts = [f"train/loss {means['loss']:.4g}"]
            if self.validated == trainer.current_epoch:
                parts.append(f"val/loss {trainer.callback_metrics['val/loss']:.4g}")
            parts.append(f"{rates['images_per_second']:.0f} images/s")
            if to_go := trainer.max_epochs - trainer.current_epoch - 1:
                pace = (time.perf_counter() - self.begun) / self.batches
                parts.append(f"{duration(pace * to_go * trainer.num_training_batches)} left")
            place = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            print(f"{place}: {', '.join(parts)}", flush=True)
