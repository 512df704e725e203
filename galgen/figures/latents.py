"""Figures of the latent space."""

import itertools
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from galgen.figures.display import COLOURS, PAGE, STYLE

MARGIN, HEADER = 0.6, 0.5
"""Around the panels of a corner plot, and above them, inches."""
MOST_WITH_TICKS = 8
"""Dimensions of a corner plot whose panels are large enough for tick labels."""


def corner(
    latent: np.ndarray,
    names: Sequence[str],
    colour: np.ndarray | None = None,
    colour_label: str = "",
    limit: float | None = None,
) -> Figure:
    """Draw latents as 2-D histograms of all pairs of dimensions, against N(0, 1).

    Args:
        latent: samples of the posterior, (N, D).
        names: of the dimensions, (D,).
        colour: a number for each galaxy, (N,), whose mean colours the bins; counts do where None.
        colour_label: what that number is.
        limit: the axes go from -limit to limit; as far as the latents where None.
    """
    dimensions = latent.shape[1]
    limit = limit or max(3.2, float(np.percentile(np.abs(latent), 99.7)))
    bins = int(np.clip(np.sqrt(len(latent)), 12, 40))
    edges = np.linspace(-limit, limit, bins + 1)
    side = float(np.clip(1.3 * dimensions, 3.1, PAGE - MARGIN))
    width, height = side + MARGIN, side + MARGIN + HEADER
    with matplotlib.rc_context({**STYLE, "axes.spines.top": True, "axes.spines.right": True}):
        figure = Figure(figsize=(width, height))
        axes = figure.subplots(dimensions, dimensions, squeeze=False)
        figure.subplots_adjust(
            left=0.8 * MARGIN / width,
            bottom=0.8 * MARGIN / height,
            right=1 - 0.2 * MARGIN / width,
            top=1 - (HEADER + 0.2 * MARGIN) / height,
            wspace=0.08,
            hspace=0.08,
        )
        norm = _brightness(latent, edges, colour)
        for row, column in np.ndindex(dimensions, dimensions):
            axis = axes[row, column]
            axis.set_box_aspect(1)
            axis.set_visible(column <= row)
            if column == row:
                _draw_diagonal(axis, latent[:, row], edges)
            elif column < row:
                mesh = _draw_pair(axis, latent[:, column], latent[:, row], edges, colour, norm)
            _label_edges(axis, row, column, names)
        left, top = 0.8 * MARGIN / width, 1 - 0.1 / height
        drawn = "blue: posterior samples" if colour is None else "diagonal, blue: posterior samples"
        note = f"{drawn}\norange: N(0, 1), its 1 and 2 σ"
        figure.text(left, top, note, fontsize=7, va="top")
        if dimensions > 1:
            place = (1 - 1.35 / width, 1 - 0.2 / height, 1.2 / width, 0.08 / height)
            bar = figure.colorbar(mesh, cax=figure.add_axes(place), orientation="horizontal")
            bar.set_label(colour_label if colour is not None else "galaxies in a bin", fontsize=7)
            bar.ax.tick_params(labelsize=6)
            if colour is None:
                bar.set_ticks([1, norm.vmax], labels=["1", f"{norm.vmax:.0f}"])
                bar.minorticks_off()
    return figure


def kl_by_dimension(kl: np.ndarray, active: np.ndarray) -> Figure:
    """Draw the KL of each latent dimension, sorted, and which dimensions are active.

    Args:
        kl: average over galaxies, (D,), nats.
        active: whether a dimension's posterior mean varies between galaxies, (D,).
    """
    order = np.argsort(kl)[::-1]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 2.2), layout="constrained")
        axis = figure.subplots()
        colours = [COLOURS[0] if active[d] else "0.75" for d in order]
        axis.bar(np.arange(len(kl)), kl[order], color=colours)
        axis.set_xticks(np.arange(len(kl)), [str(d) for d in order], fontsize=7)
        axis.set_xlabel("latent dimension, sorted by KL")
        axis.set_ylabel("KL [nats]")
        axis.set_title(
            f"{active.sum()} of {len(kl)} dimensions active (blue); KL {kl.sum():.2f} nats",
            fontsize=8,
        )
    return figure


def _draw_diagonal(axis, values: np.ndarray, edges: np.ndarray) -> None:
    axis.hist(values, bins=edges, density=True, color=COLOURS[0], alpha=0.8)
    z = np.linspace(edges[0], edges[-1], 200)
    axis.plot(z, np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi), color=COLOURS[1], lw=1.2)
    axis.set_xlim(edges[0], edges[-1])
    axis.set_yticks([])


def _brightness(latent: np.ndarray, edges: np.ndarray, colour: np.ndarray | None):
    """Return the scale of the bins' colours, which all pairs share."""
    if colour is not None:
        known = colour[np.isfinite(colour)]
        return matplotlib.colors.Normalize(*np.percentile(known, [2, 98]))
    pairs = itertools.combinations(latent.T, 2)
    most = max((np.histogram2d(*pair, bins=[edges, edges])[0].max() for pair in pairs), default=1)
    return matplotlib.colors.LogNorm(0.3, max(2, most))  # a single galaxy is to be seen


def _draw_pair(axis, x, y, edges: np.ndarray, colour: np.ndarray | None, norm):
    known = np.isfinite(x) if colour is None else np.isfinite(colour)
    x, y = x[known], y[known]
    counts, _, _ = np.histogram2d(x, y, bins=[edges, edges])
    shown = counts
    if colour is not None:
        total, _, _ = np.histogram2d(x, y, bins=[edges, edges], weights=colour[known])
        shown = total / np.maximum(counts, 1)
    mesh = axis.pcolormesh(
        edges,
        edges,
        np.ma.masked_where(counts == 0, shown).T,
        cmap="Blues" if colour is None else "viridis",
        norm=norm,
        rasterized=True,
    )
    for radius in (1, 2):
        axis.add_patch(Circle((0, 0), radius, fill=False, color=COLOURS[1], lw=0.8))
    return mesh


def _label_edges(axis, row: int, column: int, names: Sequence[str]) -> None:
    last, few = row == len(names) - 1, len(names) <= MOST_WITH_TICKS
    axis.tick_params(labelsize=6, labelbottom=last and few, labelleft=column == 0 < row and few)
    if not few:
        axis.set_xticks([])
        axis.set_yticks([])
    size = 8 if few else 5
    if last:
        axis.set_xlabel(names[column], fontsize=size)
    if column == 0 < row:
        axis.set_ylabel(names[row], fontsize=size)
