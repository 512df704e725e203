"""Records of trainings: metrics by epoch, of runs and of the original project."""

import csv
from pathlib import Path

from galgen.errors import GalgenError
from galgen.files import expand, reading

ORIGINAL_LOSSES = {
    "train_loss_per_image": "train/loss",
    "val_loss_per_image": "val/loss",
    "mse_per_image": "train/reconstruction",
    "kl_per_image": "train/kl",
    "beta": "train/beta",
    "lr": "lr",
    "epoch": "epoch",
}
"""Columns of the original project's training records, as metrics.csv calls them."""


def read_metrics(directory: Path) -> list[dict[str, float]]:
    """Read a run's metrics.csv.

    Args:
        directory: the run directory.

    Returns:
        Metrics by name, one row an epoch, empty cells left out; no rows where there is no file.

    Raises:
        GalgenError: if it is damaged.
    """
    path = Path(directory) / "metrics.csv"
    if not path.is_file():
        return []
    try:
        with reading(path), open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        return [{name: float(cell) for name, cell in row.items() if cell} for row in rows]
    except (ValueError, TypeError) as error:
        raise GalgenError(f"{path} is damaged: {error}") from error


def read_curves(sources: list[str]) -> dict[str, list[dict[str, float]]]:
    """Read the metrics of runs, or of CSV files of the original project's training records.

    Args:
        sources: run directories and CSV files.

    Returns:
        By the label of a run, its metrics by name, one row an epoch.

    Raises:
        GalgenError: if a source is neither, or has no epoch yet.
    """
    # OmegaConf, which the logger of metrics.csv does not need.
    from galgen.runs.run_config import read_unchecked_config

    curves = {}
    for source in sources:
        path = expand(source)
        if path.is_file():
            curves |= _read_original_losses(path)
            continue
        name = read_unchecked_config(path).run_name or path.name
        rows = read_metrics(path)
        if not rows:
            raise GalgenError(f"{path} has no metrics: no epoch of it has ended.")
        curves[name if name not in curves else str(path)] = rows
    return curves


def _read_original_losses(path: Path) -> dict[str, list[dict[str, float]]]:
    """Read training records with columns survey, model, beta and those of ORIGINAL_LOSSES."""
    curves: dict[str, list[dict[str, float]]] = {}
    try:
        with reading(path), open(path, newline="") as file:
            for row in csv.DictReader(file):
                label = f"{row['model']}, {row['survey'].replace('_', ' ')}, β = {row['beta']}"
                metrics = {new: float(row[old]) for old, new in ORIGINAL_LOSSES.items()}
                curves.setdefault(label, []).append(metrics)
    except (KeyError, ValueError, TypeError) as error:
        raise GalgenError(
            f"{path}: not a record of losses ({error!r}); it takes the columns survey, model, "
            f"{', '.join(ORIGINAL_LOSSES)}."
        ) from error
    if not curves:
        raise GalgenError(f"{path}: holds no losses.")
    return curves
