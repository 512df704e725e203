"""Figures of the latent space."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from galgen.figures.display import COLOURS, PAGE, STYLE


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
    with matplotlib.rc_context({**STYLE, "axes.spines.top": True, "axes.spines.right": True}):
        size = min(PAGE, 1.3 * dimensions + 1.2)
        figure = Figure(figsize=(size, size))
        axes = figure.subplots(dimensions, dimensions, squeeze=False)
        low, high = 0.55 / size, 1 - 0.3 / size
        figure.subplots_adjust(low, low, high, high, wspace=0.08, hspace=0.08)
        for row, column in np.ndindex(dimensions, dimensions):
            axis = axes[row, column]
            axis.set_box_aspect(1)
            axis.set_visible(column <= row)
            if column == row:
                _draw_diagonal(axis, latent[:, row], edges)
            elif column < row:
                mesh = _draw_pair(axis, latent[:, column], latent[:, row], edges, colour)
            _label_edges(axis, row, column, names)
        if dimensions > 1:
            bar = figure.colorbar(
                mesh, cax=figure.add_axes((0.58, 0.9, 0.35, 0.02)), orientation="horizontal"
            )
            bar.set_label(colour_label if colour is not None else "galaxies in a bin, last panel")
        figure.text(
            0.58, 0.8, "blue: posterior samples\norange: N(0, 1), its 1 and 2 σ", fontsize=7
        )
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


def _draw_pair(axis, x, y, edges: np.ndarray, colour: np.ndarray | None):
    counts, _, _ = np.histogram2d(x, y, bins=[edges, edges])
    shown, norm = counts, matplotlib.colors.LogNorm(1, max(2, counts.max()))
    if colour is not None:
        known = np.isfinite(colour)
        counts, _, _ = np.histogram2d(x[known], y[known], bins=[edges, edges])
        total, _, _ = np.histogram2d(x[known], y[known], bins=[edges, edges], weights=colour[known])
        shown = total / np.maximum(counts, 1)
        norm = matplotlib.colors.Normalize(*np.percentile(colour[known], [2, 98]))
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
    last = row == len(names) - 1
    axis.tick_params(labelsize=6, labelbottom=last, labelleft=column == 0 < row)
    if last:
        axis.set_xlabel(names[column])
    if column == 0 < row:
        axis.set_ylabel(names[row])
