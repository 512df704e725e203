"""The sizes of an evaluation's galaxies against their brightness."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from galgen.figures.display import PAGE, STYLE
from galgen.figures.evaluation_style import colour_of, label_statistic, span, wrapped

if TYPE_CHECKING:
    from galgen.figures.evaluation_figures import Evaluated


def select_size_magnitude(shown: "Evaluated") -> dict[str, Figure]:
    """Draw all samples of an evaluation, by magnitude where the survey has a zero point."""
    brightness = (
        "magnitude" if shown.run.zero_points[shown.run.reference] is not None else "log_flux"
    )
    figure = draw_size_magnitude(
        {name: sample.columns for name, sample in shown.samples.items()},
        shown.labels,
        (brightness, "sigma"),
        shown.units,
        shown.title,
    )
    return {"evaluation_size_magnitude": figure}


def draw_size_magnitude(
    samples: Mapping[str, Mapping[str, np.ndarray]],
    labels: Mapping[str, str],
    names: tuple[str, str],
    units: Mapping[str, str],
    title: str,
) -> Figure:
    """Draw size against brightness, a panel for each sample over the survey's contours.

    Args:
        samples: values (n,) by sample and column.
        labels: how the samples are called, in the order of their colours; the first is `real`.
        names: of brightness and size.
        units: of the columns.
        title: the samples that are compared.
    """
    first, second = names
    kept = {sample: _finite(table, names) for sample, table in samples.items()}
    spans = [span(kept["real"][axis]) for axis in (0, 1)]
    density, x, y = np.histogram2d(*kept["real"], bins=30, range=spans)
    levels = _levels(density, (0.95, 0.68, 0.3))
    with matplotlib.rc_context(STYLE):
        columns = min(len(kept), 4)
        rows = -(-len(kept) // columns)
        figure = Figure(figsize=(PAGE, 2.0 * rows + 0.5), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axis, (sample, values) in zip(axes.flat, kept.items(), strict=False):
            colour = colour_of(sample, labels)
            axis.plot(*values, ".", ms=1, alpha=0.3, color=colour, rasterized=True)
            centres = [0.5 * (edges[1:] + edges[:-1]) for edges in (x, y)]
            axis.contour(*centres, density.T, levels=levels, colors="black", linewidths=0.7)
            axis.set_title(labels[sample], fontsize=8)
            axis.set_xlim(spans[0] if first != "magnitude" else spans[0][::-1])
            axis.set_ylim(spans[1])
        for axis in axes.flat[len(kept) :]:
            axis.set_axis_off()
        for number, axis in enumerate(axes.flat[: len(kept)]):
            lowest = number + columns >= len(kept)
            axis.tick_params(labelbottom=lowest, labelleft=number % columns == 0)
            axis.set_xlabel(label_statistic(first, units) if lowest else "")
            axis.set_ylabel(label_statistic(second, units) if number % columns == 0 else "")
        note = "contours: 30, 68 and 95 % of the survey"
        figure.suptitle(wrapped(f"{title}; {note}"), fontsize=7)
    return figure


def _levels(density: np.ndarray, shares: Sequence[float]) -> list[float]:
    """Return the densities above which some shares of a histogram lie, ascending."""
    ordered = np.sort(density.ravel())[::-1]
    reached = np.cumsum(ordered) / max(ordered.sum(), 1)
    levels = [float(ordered[min(np.searchsorted(reached, s), len(ordered) - 1)]) for s in shares]
    return sorted({level for level in levels if level > 0}) or [0.5]


def _finite(table: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
    columns = [table[name] for name in names]
    kept = np.isfinite(columns).all(axis=0)
    return [column[kept] for column in columns]
