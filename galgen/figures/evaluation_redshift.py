"""The distributions of an evaluation's statistics in bins of redshift."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from galgen.evaluation.redshifts import redshift_bins
from galgen.figures.display import PAGE, STYLE
from galgen.figures.evaluation_style import add_legend, draw_densities, label_statistic

if TYPE_CHECKING:
    from galgen.figures.evaluation_figures import Evaluated

STATISTICS = ("log_flux", "sigma", "concentration", "ellipticity")
"""Statistics that are drawn by redshift, where they are compared."""


def select_redshift(shown: "Evaluated") -> dict[str, Figure]:
    """Draw the survey and the first and the last prior of an evaluation, where it has redshifts."""
    redshift = shown.samples["real"].redshift
    if redshift is None:
        return {}
    priors = [name for name in shown.samples if name in shown.result.facts["priors"]]
    few = dict.fromkeys(["real", *priors[:1], *priors[-1:]])
    figure = draw_by_redshift(
        {
            name: {**shown.samples[name].columns, "redshift": shown.samples[name].redshift}
            for name in few
        },
        shown.labels,
        redshift_bins(redshift),
        [name for name in STATISTICS if name in shown.statistics],
        shown.units,
        shown.title,
    )
    return {"evaluation_redshift": figure}


def draw_by_redshift(
    samples: Mapping[str, Mapping[str, np.ndarray]],
    labels: Mapping[str, str],
    edges: np.ndarray,
    names: Sequence[str],
    units: Mapping[str, str],
    title: str,
) -> Figure:
    """Draw the distribution of statistics in bins of redshift, of the survey and of samples.

    Args:
        samples: values (n,) by sample and column; `redshift` is one of the columns.
        labels: how the samples are called, in the order of their colours; the first is `real`.
        edges: of the bins, (bins + 1,).
        names: of the statistics, a row each.
        units: of the statistics.
        title: the samples that are compared.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 1.6 * len(names) + 0.9), layout="constrained")
        axes = figure.subplots(len(names), len(edges) - 1, squeeze=False, sharex="row")
        for row, name in zip(axes, names, strict=True):
            for axis, (low, high) in zip(row, itertools.pairwise(edges), strict=True):
                columns = {}
                for sample, table in samples.items():
                    inside = (table["redshift"] >= low) & (table["redshift"] <= high)
                    values = table[name][inside]
                    columns[sample] = values[np.isfinite(values)]
                draw_densities(axis, columns, labels, samples["real"][name])
                axis.set_yticks([])
            row[0].set_ylabel(label_statistic(name, units))
        for axis, (low, high) in zip(axes[0], itertools.pairwise(edges), strict=True):
            axis.set_title(f"redshift {low:.2f} to {high:.2f}", fontsize=8)
        add_legend(figure, list(samples), labels, title)
    return figure
