"""metrics.csv: one row an epoch, whole after every interruption."""

import csv
import io
from pathlib import Path

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from galgen.files import write_text
from galgen.runs.metrics import read_metrics


class MetricsCSV(Logger):
    """Write the metrics of each epoch into a run's metrics.csv.

    A resumed run keeps the rows of the epochs before it and replaces those it repeats.

    Args:
        directory: the run directory.
    """

    name = "csv"
    version = ""

    def __init__(self, directory: Path):
        super().__init__()
        self.directory = Path(directory)
        self.rows = {int(row["epoch"]): row for row in read_metrics(directory)}

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add metrics to the row of their epoch (counted from 1) and write the file."""
        if "epoch" not in metrics:
            return
        epoch = int(metrics["epoch"]) + 1
        row = {name: float(_digits(value)) for name, value in metrics.items()}
        before = self.rows.get(epoch, {})
        self.rows[epoch] = {**before, **row, "epoch": epoch}
        if self.rows[epoch] == before:
            return
        names = sorted({name for row in self.rows.values() for name in row} - {"epoch"})
        table = io.StringIO()
        writer = csv.DictWriter(table, ["epoch", *names])
        writer.writeheader()
        for epoch in sorted(self.rows):
            writer.writerow({name: _digits(value) for name, value in self.rows[epoch].items()})
        write_text(self.directory / "metrics.csv", table.getvalue())

    def log_hyperparams(self, params, *args, **kwargs) -> None:
        """Nothing to do: the run's config.yaml holds them."""


def _digits(value: float) -> str:
    """Write a number as each session of a run writes it, in the seven digits of a float32."""
    return f"{float(value):.7g}"
