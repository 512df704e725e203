"""The distributions of an evaluation's statistics."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from galgen.figures.display import PAGE, STYLE
from galgen.figures.evaluation_style import (
    add_legend,
    colour_of,
    draw_densities,
    label_statistic,
)

if TYPE_CHECKING:
    from galgen.figures.evaluation_figures import Evaluated


def select_statistics(shown: "Evaluated") -> dict[str, Figure]:
    """Draw the galaxies of an evaluation that have all statistics."""
    names, distances = shown.statistics, shown.result.distances
    complete = {
        sample: found[found.complete(names)].columns for sample, found in shown.samples.items()
    }
    figure = draw_statistics(
        {sample: {name: table[name] for name in names} for sample, table in complete.items()},
        shown.labels,
        shown.units,
        {sample: {n: d.value for n, d in found.items()} for sample, found in distances.items()},
        f"{shown.title}; numbers: W1 / σ of the survey",
    )
    return {"evaluation_statistics": figure}


def draw_statistics(
    samples: Mapping[str, Mapping[str, np.ndarray]],
    labels: Mapping[str, str],
    units: Mapping[str, str],
    distances: Mapping[str, Mapping[str, float]],
    title: str,
) -> Figure:
    """Draw the distribution of each statistic, a row each, and of each sample, a column each.

    The survey's is filled.

    Args:
        samples: finite values (n,) by sample and statistic; one sample is `real`.
        labels: how the samples are called, in the order of their colours; the first is `real`.
        units: of the statistics.
        distances: W1 over the survey's scatter, by sample and statistic.
        title: the samples that are compared.
    """
    names, shown = list(samples["real"]), [s for s in labels if s != "real"]
    with matplotlib.rc_context(STYLE):
        size = (PAGE, 0.95 * len(names) + 0.9)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(names), max(len(shown), 1), squeeze=False, sharex="row")
        for row, name in zip(axes, names, strict=True):
            for axis, sample in zip(row, shown, strict=False):
                columns = {"real": samples["real"][name], sample: samples[sample][name]}
                draw_densities(axis, columns, labels)
                if name in distances.get(sample, {}):
                    axis.text(
                        0.98, 0.97, f"{distances[sample][name]:.3f}", fontsize=7, ha="right",
                        va="top", color=colour_of(sample, labels), transform=axis.transAxes,
                    )  # fmt: skip
                axis.tick_params(labelsize=6)
                axis.set_yticks([])
            row[0].set_ylabel(label_statistic(name, units).replace(" [", "\n["), fontsize=7)
        for axis, sample in zip(axes[0], shown, strict=False):
            axis.set_title(labels[sample], fontsize=8, color=colour_of(sample, labels))
        add_legend(figure, ["real"], labels, title)
    return figure
