"""What figures of an evaluation share: labels of statistics, colours of samples, histograms."""

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from galgen.figures.display import COLOURS

LABELS = {
    "log_flux": "log flux",
    "sigma": "size σ",
    "ellipticity": "ellipticity |g|",
    "rho4": "ρ₄",
    "concentration": "concentration",
    "half_light_radius": "half-light radius",
    "gini": "Gini",
    "m20": "M₂₀",
    "asymmetry": "asymmetry",
    "residual_flux": "residual flux",
    "residual_power": "residual power",
    "clumps": "clumps",
    "magnitude": "magnitude",
}
RANGE = (0.5, 99.5)
"""Percentiles of the survey's galaxies that a panel spans, and somewhat more."""
BINS = 40
TITLE = 120
"""Characters in a line of a title."""


def label_statistic(name: str, units: Mapping[str, str]) -> str:
    """Return the label of a statistic, with its unit where it has one.

    Args:
        name: of the statistic.
        units: of statistics by name.
    """
    label = LABELS.get(name, name)
    return f"{label} [{units[name]}]" if units.get(name) else label


def colour_of(sample: str, labels: Mapping[str, str]) -> str:
    """Return the colour of a sample: black of the survey, then a colour each.

    Args:
        sample: its name.
        labels: of all samples by name; the first is the survey's, `real`.
    """
    position = list(labels).index(sample)
    return COLOURS[(position - 1) % len(COLOURS)] if position else "black"


def span(values: np.ndarray) -> tuple[float, float]:
    """Return the range of a panel: most of the finite values, and somewhat more.

    Args:
        values: (n,).
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = np.percentile(values, RANGE)
    margin = 0.15 * (high - low) or 0.5
    return low - margin, high + margin


def draw_densities(
    axis,
    columns: Mapping[str, np.ndarray],
    labels: Mapping[str, str],
    whole: np.ndarray | None = None,
) -> None:
    """Draw the distributions of a statistic; the survey's is filled.

    Args:
        axis: to draw on.
        columns: finite values (n,) by sample.
        labels: of all samples by name; the first is the survey's, `real`.
        whole: values (n,) whose range is shown; the survey's where None.
    """
    low, high = span(columns["real"] if whole is None else whole)
    edges = np.linspace(low, high, BINS + 1)
    for sample, values in columns.items():
        density = np.histogram(values, edges)[0] / max(len(values), 1) / (edges[1] - edges[0])
        style = {"lw": 1.2} if sample != "real" else {"fill": True, "alpha": 0.25, "lw": 0}
        axis.stairs(density, edges, color=colour_of(sample, labels), **style)
    axis.margins(y=0.15)


def add_legend(
    figure: Figure,
    samples: list[str],
    labels: Mapping[str, str],
    title: str,
    filled: bool = True,
) -> None:
    """Write a title and the labels of samples above the panels.

    Args:
        figure: to write on.
        samples: names of those that are drawn, the survey's, `real`, first.
        labels: of all samples by name.
        title: the samples that are compared.
        filled: whether the survey's is drawn as an area.
    """
    colours = [colour_of(sample, labels) for sample in samples]
    handles = [Line2D([], [], color=colour, lw=1.5) for colour in colours]
    if filled:
        handles[0] = Patch(color=colours[0], alpha=0.25, lw=0)
    figure.legend(
        handles, [labels[sample] for sample in samples], loc="outside upper center", ncols=6,
        frameon=False, title=wrapped(title), fontsize=7, title_fontsize=7, columnspacing=1.2,
    )  # fmt: skip


def wrapped(title: str) -> str:
    """Break a title into lines."""
    return "\n".join(textwrap.wrap(title, TITLE))
