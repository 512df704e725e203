"""How far a training or a fit has come, and how long it will take."""

import sys

from pytorch_lightning import Callback
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

EVERY = 20
"""Epochs of a fit between two lines of a log file."""


class Bar(Callback):
    """A bar that is left as it is when the training ends, however it does."""

    bar: Progress | None = None

    def on_train_end(self, trainer, pl_module):
        """Leave the bar as it is."""
        self._stop()

    def on_exception(self, trainer, pl_module, exception):
        """Leave the bar, and the terminal in order."""
        self._stop()

    def _stop(self) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None


class TrainingProgress(Bar):
    """Show a bar for the whole of a training, its epochs counted from 1, and the time left."""

    def on_train_start(self, trainer, pl_module):
        """Begin at the epoch that the training resumes from."""
        if trainer.is_global_zero:
            self.bar = _bar("epoch {task.fields[epoch]}/{task.fields[epochs]}")
            epochs = trainer.max_epochs
            total = epochs * trainer.num_training_batches
            self.task = self.bar.add_task("", total=total, epochs=epochs, epoch=0)
            self._show(trainer)
            self.bar.start()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Show a step."""
        self._show(trainer)

    def _show(self, trainer) -> None:
        if self.bar:
            done = trainer.fit_loop.total_batch_idx + 1
            epoch = min(trainer.current_epoch + 1, trainer.max_epochs)
            self.bar.update(self.task, completed=done, epoch=epoch)


class FittingProgress(Bar):
    """Show the epochs of a fit: a bar on a terminal, elsewhere a line now and then.

    Args:
        name: of the prior that is fitted.
    """

    def __init__(self, name: str):
        self.name = name

    def on_train_start(self, trainer, pl_module):
        """Begin the bar."""
        if sys.stdout.isatty():
            self.bar = _bar(f"{self.name}: epoch {{task.completed:.0f}} of at most {{task.total}}")
            self.task = self.bar.add_task("", total=trainer.max_epochs)
            self.bar.start()

    def on_validation_end(self, trainer, pl_module):
        """Show an epoch."""
        epoch, most = trainer.current_epoch + 1, trainer.max_epochs
        if self.bar:
            self.bar.update(self.task, completed=epoch)
        elif epoch % EVERY == 0:
            cost = float(trainer.callback_metrics["val/cost"])
            print(
                f"{self.name}: epoch {epoch} of at most {most}, held-out cost {cost:.2f}",
                flush=True,
            )


def duration(seconds: float) -> str:
    """Write a duration in the two units that matter."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _bar(text: str) -> Progress:
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    return Progress(TextColumn(text), BarColumn(), *times)
