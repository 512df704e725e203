"""The figure of redshift posteriors: some of them, against the truth, and their calibration."""

import numpy as np
from matplotlib.figure import Figure

from galgen.figures.display import COLOURS

SHOWN = 12
"""Posteriors that are drawn."""
BINS = 20
"""Of the PIT."""


def draw_posteriors(
    title: str,
    grid: np.ndarray,
    densities: np.ndarray,
    true: np.ndarray | None = None,
    pit: np.ndarray | None = None,
) -> Figure:
    """Draw posteriors; where the truth is known, all against it, and their calibration.

    Args:
        title: of the figure.
        grid: redshifts, (G,).
        densities: (N, G).
        true: redshifts, (N,), NaN where unknown.
        pit: the cumulative posterior at the true redshift, (N,).
    """
    panels = 1 if true is None else 3
    figure = Figure(figsize=(3.6 * panels + 0.4, 3.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, panels))
    chosen = np.linspace(0, len(densities) - 1, min(SHOWN, len(densities))).astype(int)
    for number, row in enumerate(chosen):
        colour = COLOURS[number % len(COLOURS)]
        axes[0].plot(grid, densities[row], lw=1, color=colour)
        if true is not None and np.isfinite(true[row]):
            height = np.interp(true[row], grid, densities[row])
            axes[0].plot(true[row], height, "o", ms=4, color=colour)
    points = "" if true is None else "; points at the catalogue's redshift"
    axes[0].set(xlabel="redshift z", ylabel="p(z | stamp)", xlim=(grid[0], grid[-1]))
    axes[0].set_title(f"{len(chosen)} of {len(densities)} galaxies{points}", fontsize=7)
    axes[0].set_ylim(bottom=0)
    if true is not None:
        _stack(axes[1], grid, densities, true)
        _pit(axes[2], pit)
    figure.suptitle(title, fontsize=8)
    return figure


def _stack(axis, grid: np.ndarray, densities: np.ndarray, true: np.ndarray) -> None:
    """Draw the mean posterior of galaxies by their true redshift."""
    known = np.isfinite(true)
    edges = np.linspace(grid[0], grid[-1], 41)
    image = np.full((len(grid), len(edges) - 1), np.nan)
    for column in range(len(edges) - 1):
        inside = known & (true >= edges[column]) & (true < edges[column + 1])
        if inside.any():
            image[:, column] = densities[inside].mean(axis=0)
            image[:, column] /= image[:, column].max()
    extent = (grid[0], grid[-1], grid[0], grid[-1])
    axis.imshow(image, origin="lower", extent=extent, aspect="auto", cmap="Greys")
    axis.plot(grid, grid, color=COLOURS[0], lw=0.8)
    axis.set(xlabel="redshift in the catalogue", ylabel="redshift z")
    axis.set_title("mean p(z | stamp) at each redshift, largest value 1", fontsize=7)


def _pit(axis, pit: np.ndarray) -> None:
    """Draw the histogram of the PIT, and the scatter that chance leaves in it."""
    found = pit[np.isfinite(pit)]
    mean = len(found) / BINS
    axis.hist(found, bins=np.linspace(0, 1, BINS + 1), histtype="step", color=COLOURS[0])
    axis.axhline(mean, color="0.4", lw=0.8)
    axis.axhspan(mean - np.sqrt(mean), mean + np.sqrt(mean), color="0.85", zorder=0)
    axis.set(xlabel="PIT: cumulative p(z) at the catalogue's redshift", ylabel="galaxies")
    axis.set(xlim=(0, 1), ylim=(0, None))
    axis.set_title("calibration: flat within the band of chance", fontsize=7)
