"""The colours of an evaluation's galaxies against redshift."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from galgen.evaluation.band_statistics import colour_names
from galgen.figures.display import PAGE, STYLE
from galgen.figures.evaluation_style import add_legend, colour_of, span

if TYPE_CHECKING:
    from galgen.figures.evaluation_figures import Evaluated

MOST = 3
"""Number of colours that are drawn: the first ones."""
MEMBERS, MOST_BINS = 40, 12
"""Galaxies of the survey in a bin of redshift at least, and number of the bins at most."""
POINTS = 1500
"""Galaxies of a sample that are drawn as points."""
WITHIN = (16, 50, 84)
"""Percentiles that bound an area, and that of the line in it."""


def select_colours(shown: "Evaluated") -> dict[str, Figure]:
    """Draw the survey beside the first and the last prior, if there are colours and redshifts."""
    real, bands = shown.samples["real"], shown.result.facts.get("bands", [])
    if not bands or real.redshift is None:
        return {}
    pairs = zip(itertools.pairwise(bands), itertools.pairwise(shown.run.zero_points), strict=True)
    colours = {
        name: f"{one} \N{MINUS SIGN} {other} [{'instrumental' if None in points else 'AB'}]"
        for name, ((one, other), points) in zip(colour_names(bands), pairs, strict=True)
        if np.isfinite(real.columns[name] * real.redshift).any()
    }
    if not colours:
        return {}
    priors = [name for name in shown.samples if name in shown.result.facts["priors"]]
    few = dict.fromkeys(["real", *priors[:1], *priors[-1:]])
    samples = {
        name: {**shown.samples[name].columns, "redshift": shown.samples[name].redshift}
        for name in few
    }
    drawn = dict(itertools.islice(colours.items(), MOST))
    return {"evaluation_colours": draw_colours(samples, shown.labels, drawn, shown.title)}


def draw_colours(
    samples: Mapping[str, Mapping[str, np.ndarray]],
    labels: Mapping[str, str],
    colours: Mapping[str, str],
    title: str,
) -> Figure:
    """Draw colours against redshift: a row for each, and a column for each sample but the survey.

    Args:
        samples: values (n,) by sample and column; `redshift` is one of the columns, and one sample
            is `real`.
        labels: how the samples are called, in the order of their colours; the first is `real`.
        colours: labels of the colours by column.
        title: the samples that are compared.
    """
    real, others = samples["real"], [name for name in samples if name != "real"]
    edges = redshift_edges(real["redshift"])
    with matplotlib.rc_context(STYLE):
        size = (PAGE, 1.9 * len(colours) + 1.0)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(colours), len(others), squeeze=False, sharex=True, sharey="row")
        for row, (column, label) in zip(axes, colours.items(), strict=True):
            for axis, sample in zip(row, others, strict=True):
                for name in ("real", sample):
                    _draw_relation(axis, samples[name], column, edges, colour_of(name, labels))
            axis.set_xlim(edges[0], edges[-1])
            areas = [
                running_percentiles(s["redshift"], s[column], edges)[1] for s in samples.values()
            ]
            reach = np.concatenate([span(real[column]), *map(np.ravel, areas)])
            axis.set_ylim(reach.min(), reach.max())
            row[0].set_ylabel(label)
        for axis in axes[-1]:
            axis.set_xlabel("redshift")
        note = "lines: medians; areas: 16 to 84 % of the galaxies"
        add_legend(figure, list(samples), labels, f"{title}; {note}", filled=False)
    return figure


def redshift_edges(redshift: np.ndarray) -> np.ndarray:
    """Return the edges of bins with equal numbers of galaxies, (bins + 1,).

    The lowest and the highest percent of the redshifts (n,) are left out.
    """
    known = redshift[np.isfinite(redshift)]
    bins = int(np.clip(len(known) // MEMBERS, 2, MOST_BINS))
    return np.quantile(known, np.linspace(0.01, 0.99, bins + 1))


def running_percentiles(
    redshift: np.ndarray, values: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return median redshifts (bins,) and the percentiles WITHIN of values (bins, 3).

    Args:
        redshift: (n,).
        values: (n,), those that are not finite are left out.
        edges: of the bins, (bins + 1,); bins without a galaxy are left out.
    """
    known = np.isfinite(redshift) & np.isfinite(values)
    redshift, values = redshift[known], values[known]
    inside = [(redshift >= low) & (redshift <= high) for low, high in itertools.pairwise(edges)]
    inside = [chosen for chosen in inside if chosen.any()]
    places = np.array([np.median(redshift[chosen]) for chosen in inside])
    percentiles = [np.percentile(values[chosen], WITHIN) for chosen in inside]
    return places, np.reshape(percentiles, (-1, len(WITHIN)))


def _draw_relation(
    axis, table: Mapping[str, np.ndarray], column: str, edges: np.ndarray, colour: str
) -> None:
    """Draw the median, the area around it and some points of one sample."""
    redshift, values = table["redshift"], table[column]
    style = {"color": colour, "alpha": 0.4, "ms": 2.5, "mew": 0, "rasterized": True}
    axis.plot(redshift[:POINTS], values[:POINTS], ".", **style)
    places, percentiles = running_percentiles(redshift, values, edges)
    low, median, high = percentiles.T
    axis.fill_between(places, low, high, color=colour, alpha=0.2, lw=0)
    axis.plot(places, median, color=colour, lw=1.5)
