"""metrics.csv: one row an epoch, whole after every interruption."""

import csv
import io
from pathlib import Path

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from galgen.files import write_text
from galgen.records import read_metrics


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
        # Seven digits are all that a float32 has.
        row = {name: float(f"{value:.7g}") for name, value in metrics.items()}
        before = self.rows.get(epoch, {})
        self.rows[epoch] = {**before, **row, "epoch": epoch}
        if self.rows[epoch] == before:
            return
        names = sorted({name for row in self.rows.values() for name in row} - {"epoch"})
        table = io.StringIO()
        writer = csv.DictWriter(table, ["epoch", *names])
        writer.writeheader()
        writer.writerows(self.rows[epoch] for epoch in sorted(self.rows))
        write_text(self.directory / "metrics.csv", table.getvalue())

    def log_hyperparams(self, params, *args, **kwargs) -> None:
        """Nothing to do: the run's config.yaml holds them."""
