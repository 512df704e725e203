"""Figures of an evaluation: generated galaxies beside the survey's."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter

from galgen.figures.display import COLOURS, PAGE, STYLE, Display, add_caption, grid, label_row

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
    "magnitude": "magnitude",
}
SAMPLES = {
    "real": "survey",
    "normal": "prior N(0, 1)",
    "gmm": "prior: mixture",
    "two_stage": "prior: second VAE",
    "flow": "prior: flow",
    "posterior": "posterior samples",
    "sersic": "Sérsic profiles",
}
"""How samples are called, in the order they are drawn."""
PRIORS = ("normal", "gmm", "two_stage", "flow")
"""Samples that are drawn from priors."""
RANGE = (0.5, 99.5)
"""Percentiles of the survey's galaxies that a panel spans, and somewhat more."""
BINS = 40
TITLE = 120
"""Characters in a line of a title."""


def statistics(
    samples: Mapping[str, Mapping[str, np.ndarray]],
    units: Mapping[str, str],
    distances: Mapping[str, Mapping[str, float]],
    title: str,
) -> Figure:
    """Draw the distribution of each statistic, a row each, and of each sample, a column each.

    The survey's is filled.

    Args:
        samples: finite values (n,) by sample and statistic; one sample is `real`.
        units: of the statistics.
        distances: W1 over the survey's scatter, by sample and statistic.
        title: what is compared with what.
    """
    names, shown = list(samples["real"]), [s for s in _ordered(samples) if s != "real"]
    with matplotlib.rc_context(STYLE):
        size = (PAGE, 0.95 * len(names) + 0.9)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(names), max(len(shown), 1), squeeze=False, sharex="row")
        for row, name in zip(axes, names, strict=True):
            for axis, sample in zip(row, shown, strict=False):
                columns = {"real": samples["real"][name], sample: samples[sample][name]}
                _histograms(axis, columns, {sample: distances.get(sample, {}).get(name)})
                axis.tick_params(labelsize=6)
                axis.set_yticks([])
            row[0].set_ylabel(_label(name, units).replace(" [", "\n["), fontsize=7)
        for axis, sample in zip(axes[0], shown, strict=False):
            axis.set_title(SAMPLES[sample], fontsize=8, color=_colour(sample))
        _legend(figure, {"real": samples["real"]}, title)
    return figure


def by_redshift(
    samples: Mapping[str, Mapping[str, np.ndarray]],
    edges: np.ndarray,
    names: Sequence[str],
    units: Mapping[str, str],
    title: str,
) -> Figure:
    """Draw the distribution of statistics in bins of redshift, of the survey and a few samples.

    Args:
        samples: values (n,) by sample and column; `redshift` is one of the columns.
        edges: of the bins, (bins + 1,).
        names: of the statistics, a row each.
        units: of the statistics.
        title: what is compared with what.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 1.6 * len(names) + 0.9), layout="constrained")
        axes = figure.subplots(len(names), len(edges) - 1, squeeze=False, sharex="row")
        kept = [sample for sample in _ordered(samples) if sample in ("real", *PRIORS)]
        few = {sample: samples[sample] for sample in dict.fromkeys([*kept[:2], kept[-1]])}
        for row, name in zip(axes, names, strict=True):
            for axis, (low, high) in zip(row, itertools.pairwise(edges), strict=True):
                columns = {}
                for sample, table in few.items():
                    inside = (table["redshift"] >= low) & (table["redshift"] <= high)
                    values = table[name][inside]
                    columns[sample] = values[np.isfinite(values)]
                _histograms(axis, columns, {}, samples["real"][name])
                axis.set_yticks([])
            row[0].set_ylabel(_label(name, units))
        for axis, (low, high) in zip(axes[0], itertools.pairwise(edges), strict=True):
            axis.set_title(f"redshift {low:.2f} to {high:.2f}", fontsize=8)
        _legend(figure, few, title)
    return figure


def size_magnitude(
    samples: Mapping[str, Mapping[str, np.ndarray]],
    names: tuple[str, str],
    units: Mapping[str, str],
    title: str,
) -> Figure:
    """Draw size against brightness, a panel for each sample over the survey's contours.

    Args:
        samples: values (n,) by sample and column.
        names: of brightness and size.
        units: of the columns.
        title: what is compared with what.
    """
    first, second = names
    kept = {sample: _finite(table, names) for sample, table in samples.items()}
    spans = [_span(kept["real"][axis]) for axis in (0, 1)]
    density, x, y = np.histogram2d(*kept["real"], bins=30, range=spans)
    levels = _levels(density, (0.95, 0.68, 0.3))
    with matplotlib.rc_context(STYLE):
        columns = min(len(kept), 4)
        rows = -(-len(kept) // columns)
        figure = Figure(figsize=(PAGE, 2.0 * rows + 0.5), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axis, (sample, values) in zip(axes.flat, kept.items(), strict=False):
            axis.plot(*values, ".", ms=1, alpha=0.3, color=_colour(sample), rasterized=True)
            centres = [0.5 * (edges[1:] + edges[:-1]) for edges in (x, y)]
            axis.contour(*centres, density.T, levels=levels, colors="black", linewidths=0.7)
            axis.set_title(SAMPLES.get(sample, sample), fontsize=8)
            axis.set_xlim(spans[0] if first != "magnitude" else spans[0][::-1])
            axis.set_ylim(spans[1])
        for axis in axes.flat[len(kept) :]:
            axis.set_axis_off()
        for number, axis in enumerate(axes.flat[: len(kept)]):
            lowest = number + columns >= len(kept)
            axis.tick_params(labelbottom=lowest, labelleft=number % columns == 0)
            axis.set_xlabel(_label(first, units) if lowest else "")
            axis.set_ylabel(_label(second, units) if number % columns == 0 else "")
        note = "contours: 30, 68 and 95 % of the survey"
        figure.suptitle(_wrapped(f"{title}; {note}"), fontsize=7)
    return figure


def power(
    wavenumber: np.ndarray,
    spectra: Mapping[str, np.ndarray],
    pixels: Mapping[str, np.ndarray],
    unit: str,
    title: str,
) -> Figure:
    """Draw mean power spectra, their ratio to the survey's, and the pixels' histogram.

    Args:
        wavenumber: cycles per px, (bins,).
        spectra: mean power by sample, (bins,).
        pixels: values of pixels by sample, (n,).
        unit: of the pixels.
        title: what is compared with what.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 2.5), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        scale = np.percentile(np.abs(pixels["real"]), 99)
        edges = np.sinh(np.linspace(-2, 7, 120)) / np.sinh(3) * scale
        for sample in _ordered(spectra):
            style = {"color": _colour(sample), "lw": 1.2}
            left.loglog(wavenumber, spectra[sample], **style)
            middle.plot(wavenumber, spectra[sample] / spectra["real"], **style)
            share = np.histogram(pixels[sample], edges)[0] / len(pixels[sample])
            right.stairs(share / np.diff(edges), edges, **style)
        left.set_ylabel("mean power")
        middle.set(ylabel="power over the survey's", xscale="log", ylim=(0, 2))
        for axis in (left, middle):
            axis.set_xlabel("wavenumber [cycles/px]")
            axis.xaxis.set_minor_formatter(NullFormatter())
        right.set(xlabel=f"pixel [{unit}]", ylabel="density", yscale="log")
        decade = 10.0 ** np.ceil(np.log10(scale if scale > 0 else 1))
        right.set_xscale("asinh", linear_width=decade)
        right.set_xticks([-decade, 0, decade, 10 * decade, 100 * decade])
        right.xaxis.set_major_formatter("{x:g}")
        right.set_xlim(edges[0], max(values.max() for values in pixels.values()))
        _legend(figure, spectra, title, filled=False)
    return figure


def neighbours(generated: np.ndarray, nearest: np.ndarray, display: Display, sample: str) -> Figure:
    """Draw generated galaxies beside the survey's that are most like them.

    Args:
        generated: (N, H, W).
        nearest: training galaxies, nearest first, (N, K, H, W).
        display: how galaxies are shown.
        sample: of the generated ones.
    """
    rows, columns = nearest.shape[0], nearest.shape[1] + 1
    figure, axes = grid(rows, columns, display.style, 0.25, 0.36)
    for row in range(rows):
        for axis, image in zip(axes[row], [generated[row], *nearest[row]], strict=True):
            display.show(axis, image, np.percentile(image, 99.9))
        label_row(axes[row, 0], str(row))
    axes[0, 0].set_title("generated", fontsize=8, pad=2)
    for column in range(1, columns):
        axes[0, column].set_title(f"nearest {column}", fontsize=8, pad=2)
    figure.suptitle(
        f"{SAMPLES.get(sample, sample)}: the most similar training galaxies", fontsize=8, y=0.995,
        va="top",
    )  # fmt: skip
    display.bar(axes[0, 0], generated[0])
    add_caption(figure, display.caption(generated[0], "each galaxy's 99.9th percentile"))
    return figure


def _histograms(axis, columns: Mapping[str, np.ndarray], apart: Mapping, whole=None) -> None:
    """Draw values by sample; the range is that of `whole`, or of the survey's."""
    low, high = _span(columns["real"] if whole is None else whole)
    edges = np.linspace(low, high, BINS + 1)
    lines = []
    for sample in _ordered(columns):
        values = columns[sample]
        density = np.histogram(values, edges)[0] / max(len(values), 1) / (edges[1] - edges[0])
        style = {"lw": 1.2} if sample != "real" else {"fill": True, "alpha": 0.25, "lw": 0}
        axis.stairs(density, edges, color=_colour(sample), **style)
        if apart.get(sample) is not None:
            lines.append((f"{apart[sample]:.3f}", _colour(sample)))
    axis.margins(y=0.15)
    for number, (text, colour) in enumerate(lines):
        axis.text(
            0.98, 0.97 - 0.13 * number, text, color=colour, fontsize=7, ha="right", va="top",
            transform=axis.transAxes,
        )  # fmt: skip


def _span(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = np.percentile(values, RANGE)
    margin = 0.15 * (high - low) or 0.5
    return low - margin, high + margin


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


def _label(name: str, units: Mapping[str, str]) -> str:
    return (
        f"{LABELS.get(name, name)} [{units[name]}]" if units.get(name) else LABELS.get(name, name)
    )


def _ordered(samples: Mapping) -> list[str]:
    return [sample for sample in SAMPLES if sample in samples]


def _colour(sample: str) -> str:
    return "black" if sample == "real" else COLOURS[list(SAMPLES).index(sample) - 1]


def _legend(figure: Figure, samples: Mapping, title: str, filled: bool = True) -> None:
    shown = _ordered(samples)
    lines = [Line2D([], [], color=_colour(sample), lw=1.5) for sample in shown]
    labels = [SAMPLES[sample] for sample in shown]
    if filled:
        lines[0] = Patch(color=_colour(shown[0]), alpha=0.25, lw=0)
    figure.legend(
        lines, labels, loc="outside upper center", ncols=6, frameon=False, title=_wrapped(title),
        fontsize=7, title_fontsize=7, columnspacing=1.2,
    )  # fmt: skip


def _wrapped(title: str) -> str:
    return "\n".join(textwrap.wrap(title, TITLE))
