"""The latent space: pairs of dimensions against N(0, 1), the KL of each, and the active ones."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from galgen.errors import GalgenError
from galgen.figures.display import COLOURS, PAGE, STYLE
from galgen.figures.run_figure import RunFigure
from galgen.figures.saving import save_all

if TYPE_CHECKING:
    from galgen.runs.encoded_survey import Latents
    from galgen.runs.trained_run import TrainedRun

LEGIBLE_PAIRS = 6
"""Dimensions in a corner plot that can be read at page width."""
MARGIN, HEADER = 0.6, 0.5
"""Around the panels of a corner plot, and above them, inches."""
MOST_WITH_TICKS = 8
"""Dimensions of a corner plot whose panels are large enough for tick labels."""


class Latent(RunFigure):
    """The latent space of a split: pairs of dimensions against N(0, 1), KL of each, active ones.

    Args:
        dimensions: numbers of the dimensions in the corner plot; the six of the largest KL where
            None; `all` takes all.
        colour: `redshift`, or None for counts.
        **arguments: as `RunFigure`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self, dimensions: Sequence[int] | str | None = None, colour: str | None = None, **arguments
    ):
        super().__init__(**arguments)
        if colour not in (None, "redshift"):
            raise ValueError(f"colour={colour}: it can be null or redshift.")
        self.dimensions, self.colour = dimensions, colour

    def draw(self, run: "TrainedRun") -> dict[str, Figure]:
        """Return the figures `latent` and `latent_kl`."""
        return self._figures(self.encode(run))

    def write(self, run: "TrainedRun", folder: Path, suffix: str = "") -> list[Path]:
        """Draw, and write figures and latents."""
        latents = self.encode(run)
        paths = save_all(self._figures(latents), folder, suffix)
        path = folder / f"latents_{self.split}{f'_seed{self.seed}' if self.seed else ''}.h5"
        facts = {"run": run.name, "config_sha256": run.config_sha256}
        latents.save(path, {**facts, "split": self.split, "seed": self.seed})
        return [*paths, path]

    def encode(self, run: "TrainedRun") -> "Latents":
        """Return the latents of the split."""
        from galgen.runs.encoded_survey import encode_part

        self.choose(run, None, 1)
        return encode_part(run, self.split, self.seed)

    def _figures(self, latents: "Latents") -> dict[str, Figure]:
        chosen = self._chosen(latents)
        if self.colour and not np.isfinite(latents.redshift).any():
            raise GalgenError("colour=redshift: the survey has no redshifts.")
        corner = draw_corner(
            latents.sample[:, chosen],
            [f"latent {dimension}" for dimension in chosen],
            latents.redshift if self.colour else None,
            "mean redshift",
        )
        return {"latent": corner, "latent_kl": draw_kl_by_dimension(latents.kl, latents.active)}

    def _chosen(self, latents: "Latents") -> np.ndarray:
        there = latents.mean.shape[1]
        if self.dimensions == "all":
            return np.arange(there)
        if self.dimensions is None:
            return np.argsort(latents.kl)[::-1][:LEGIBLE_PAIRS]
        chosen = self.dimensions if isinstance(self.dimensions, list) else [self.dimensions]
        if not chosen:
            raise GalgenError("dimensions=[]: name at least one, or leave it out.")
        bad = [d for d in chosen if type(d) is not int or not 0 <= d < there]
        if bad:
            raise GalgenError(
                f"dimensions: {bad[0]} is not available; the latent dimensions are 0 to "
                f"{there - 1}."
            )
        return np.array(chosen)


def draw_corner(
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


def draw_kl_by_dimension(kl: np.ndarray, active: np.ndarray) -> Figure:
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
