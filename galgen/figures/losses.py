"""Loss curves, of one run or several overlaid."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from galgen.figures.display import COLOURS, PAGE, STYLE
from galgen.figures.saving import save_all

QUANTITIES = {  # losses are sums over pixels and latents, averaged over galaxies
    "loss": "loss",
    "reconstruction": "reconstruction term",
    "kl": "KL [nats]",
    "beta_kl": "β × KL",
    "beta": "β",
    "lr": "learning rate",
}
FEW = 20
"""Epochs that are marked each."""
SPIKE = 10
"""Losses above this multiple of their 98th percentile leave the panel."""
PARTS = {"train": "-", "val": "--"}
NAMES = {"train": "train", "val": "validation"}


class Losses:
    """The loss curves of one run or several.

    Args:
        scale: `log` or `linear`.

    Raises:
        ValueError: if the scale is another.
    """

    of_metrics = True

    def __init__(self, scale: str = "log"):
        if scale not in ("log", "linear"):
            raise ValueError(f"scale={scale}: it can be log or linear.")
        self.scale = scale

    def write(self, curves: dict[str, list[dict]], folder: Path, suffix: str = "") -> list[Path]:
        """Draw the curves of runs by label, and write the figure as PNG and as PDF."""
        return save_all({"losses": draw_losses(curves, self.scale)}, folder, suffix)


def draw_losses(curves: dict[str, Sequence[dict[str, float]]], scale: str = "log") -> Figure:
    """Draw training and validation curves: loss, reconstruction term, KL, β · KL, β, rate.

    Args:
        curves: by the label of a run, its metrics by name, one row an epoch, as in metrics.csv.
        scale: `log`, where all values are positive, or `linear`, of the four losses.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 4.3), layout="constrained")
        axes = figure.subplots(2, 3, sharex=True)
        for axis, (name, label) in zip(axes.flat, QUANTITIES.items(), strict=True):
            for number, rows in enumerate(curves.values()):
                _draw_curves(axis, rows, name, number, alone=len(curves) == 1)
            axis.set_ylabel(label)
            if axis.lines and name not in ("beta", "lr"):
                _scale(axis, scale)
            elif axis.lines:
                axis.set_ylim(0, 1.1 * max(max(line.get_ydata()) for line in axis.lines) or 1)
        for axis in axes[1]:
            axis.set_xlabel("epoch")
        _add_legend(figure, list(curves))
    return figure


def _draw_curves(axis, rows, name: str, number: int, alone: bool) -> None:
    """Draw one quantity of one run: a line for each part that has it."""
    if name == "lr":
        points = [(row["epoch"], row["lr"]) for row in rows if "lr" in row]
        if points:
            style = {"marker": "." if len(points) < FEW else None, "ms": 4, "lw": 1.2}
            axis.plot(*_columns(points), color=COLOURS[number % len(COLOURS)], **style)
        return
    for position, (part, style) in enumerate(PARTS.items()):
        points = [
            (row["epoch"], value)
            for row in rows
            if (value := _quantity(row, part, name)) is not None
        ]
        colour = COLOURS[(position if alone else number) % len(COLOURS)]
        if points:
            marker = "." if len(points) < FEW else None
            axis.plot(*_columns(points), style, color=colour, lw=1.2, marker=marker, ms=4)


def _scale(axis, scale: str) -> None:
    """Choose the scale of losses, and leave out the spike of a first epoch."""
    lines = [np.asarray(line.get_ydata()) for line in axis.lines]
    if scale == "log" and all((line > 0).all() for line in lines):
        axis.set_yscale("log")
    usual = max(np.percentile(line, 98) for line in lines)
    if max(line.max() for line in lines) > SPIKE * usual > 0:
        axis.set_ylim(top=2 * usual)


def _add_legend(figure: Figure, labels: list[str]) -> None:
    """Say above the panels which line is which."""
    alone = len(labels) == 1
    handles = [
        Line2D([], [], color=COLOURS[number] if alone else "0.4", ls=style, label=NAMES[part])
        for number, (part, style) in enumerate(PARTS.items())
    ]
    if not alone:
        handles += [
            Line2D([], [], color=COLOURS[number % len(COLOURS)], label=label.replace("$", r"\$"))
            for number, label in enumerate(labels)
        ]
    columns = max(1, min(len(handles), 130 // max(12, *(6 + len(label) for label in labels))))
    figure.legend(
        handles=handles, loc="outside upper center", ncols=2 if alone else columns, frameon=False
    )


def _quantity(row: dict[str, float], part: str, name: str) -> float | None:
    if name == "beta_kl":
        beta, kl = row.get(f"{part}/beta"), row.get(f"{part}/kl")
        return None if beta is None or kl is None else beta * kl
    return row.get(f"{part}/{name}")


def _columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [point[0] for point in points], [point[1] for point in points]
