"""Every figure; functions of arrays that return a matplotlib Figure."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from galgen.files import written_whole

PANEL = 0.95
"""Side of a galaxy in a figure, inches."""
SHEET = 8
"""Galaxies in a row of a contact sheet."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Of lines; told apart by colour-blind readers (Okabe & Ito 2008)."""
STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def reconstruction(
    originals: np.ndarray, reconstructions: np.ndarray, redshift: np.ndarray | None = None
) -> Figure:
    """Draw originals over reconstructions over residuals.

    Args:
        originals: images (N, H, W).
        reconstructions: images (N, H, W), on the same scale.
        redshift: (N,), written above each galaxy.
    """
    residuals = originals - reconstructions
    figure, axes = _grid(3, len(originals), left=1.15, top=0.3)
    for column in range(len(originals)):
        scale = originals[column].max()
        _galaxy(axes[0, column], originals[column], scale)
        _galaxy(axes[1, column], reconstructions[column], scale)
        axes[2, column].imshow(
            residuals[column], cmap="RdBu_r", vmin=-0.3 * scale, vmax=0.3 * scale, origin="lower"
        )
        if redshift is not None:
            axes[0, column].set_title(f"z = {redshift[column]:.2f}", fontsize=9)
    for row, label in enumerate(("survey", "reconstruction", "residual\n(±30 % of peak)")):
        _label_row(axes[row, 0], label)
    return figure


def samples(
    images: np.ndarray, redshifts: Sequence[float] | None = None, peak: float | None = None
) -> Figure:
    """Draw a grid of generated galaxies.

    Args:
        images: (rows, columns, H, W); a row is one latent where there are redshifts.
        redshifts: of the columns.
        peak: brightest pixel of the colour scale; each image's own where None.
    """
    rows, columns = images.shape[:2]
    figure, axes = _grid(rows, columns, left=0.7 if redshifts is not None else 0.05, top=0.3)
    for row in range(rows):
        for column in range(columns):
            image = images[row, column]
            _galaxy(axes[row, column], image, peak or image.max())
        if redshifts is not None:
            _label_row(axes[row, 0], f"galaxy {row}")
    if redshifts is not None:
        for column, value in enumerate(redshifts):
            axes[0, column].set_title(f"z = {value:.2f}", fontsize=9)
    else:
        figure.suptitle("generated from N(0, 1)", fontsize=9)
    return figure


def contact_sheet(
    images: np.ndarray,
    pixel_scale: float | None = None,
    magnitude: np.ndarray | None = None,
    redshift: np.ndarray | None = None,
) -> Figure:
    """Draw galaxies of a survey, each on its own asinh stretch.

    Args:
        images: (N, H, W).
        pixel_scale: arcsec; with it, a bar of one arcsec is drawn.
        magnitude: (N,), written above each galaxy.
        redshift: (N,), written above each galaxy.
    """
    figure, axes = _grid(-(-len(images) // SHEET), min(len(images), SHEET), left=0.05, top=0.25)
    figure.subplots_adjust(hspace=0.24)
    for axis in axes.flat[len(images) :]:
        axis.set_visible(False)
    for number, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        _galaxy(axis, image, image.max())
        label = []
        if magnitude is not None and np.isfinite(magnitude[number]):
            label.append(f"{magnitude[number]:.1f} mag")
        if redshift is not None and np.isfinite(redshift[number]):
            label.append(f"z {redshift[number]:.2f}")
        axis.set_title(", ".join(label), fontsize=6, pad=2)
        if pixel_scale:
            start = 0.06 * len(image)
            axis.plot([start, start + 1 / pixel_scale], [start, start], color="white", lw=1)
    if pixel_scale:
        figure.text(0.01, 1, "bars: 1 arcsec", fontsize=6, va="top")
    return figure


def histograms(columns: dict[str, np.ndarray]) -> Figure:
    """Draw the distribution of each column.

    Args:
        columns: finite values (n,) by label; n may differ.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.4 * len(columns), 2.2), layout="constrained")
        axes = figure.subplots(1, len(columns), squeeze=False)[0]
        for axis, (label, values) in zip(axes, columns.items(), strict=True):
            axis.hist(values, bins=min(60, max(5, len(values) // 10)), color=COLOURS[0])
            axis.set_xlabel(label)
        axes[0].set_ylabel("stamps")
    return figure


def losses(rows: Sequence[dict[str, float]]) -> Figure:
    """Draw training and validation curves: loss, reconstruction term, KL, beta times KL.

    Args:
        rows: metrics by name, one row an epoch, as in metrics.csv.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.6), layout="constrained")
        panels = figure.subplots(2, 2, sharex=True)
        quantities = {
            "loss": "loss per galaxy",
            "reconstruction": "reconstruction term per galaxy",
            "kl": "KL per galaxy [nats]",
            "beta_kl": "beta × KL per galaxy",
        }
        for axis, (name, label) in zip(panels.flat, quantities.items(), strict=True):
            for part, colour, style in (("train", COLOURS[0], "-"), ("val", COLOURS[1], "--")):
                epochs = [row["epoch"] for row in rows if f"{part}/loss" in row]
                values = [_quantity(row, part, name) for row in rows if f"{part}/loss" in row]
                axis.plot(epochs, values, style, color=colour, label=part, marker=".", ms=4)
            axis.set_ylabel(label)
        for axis in panels[0]:
            if all(np.min(line.get_ydata(), initial=1) > 0 for line in axis.lines):
                axis.set_yscale("log")
        for axis in panels[1]:
            axis.set_xlabel("epoch")
        panels[0, 0].legend(frameon=False)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; it appears when it is complete.

    Args:
        figure: the figure.
        path: the file; its folder is made.
    """
    with written_whole(path) as part:
        figure.savefig(part, format=path.suffix[1:], dpi=160)


def _grid(rows: int, columns: int, left: float, top: float):
    """Make a grid of square panels, with margins in inches."""
    width, height = columns * PANEL + left + 0.05, rows * PANEL + top + 0.05
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left=left / width,
        right=1 - 0.05 / width,
        bottom=0.05 / height,
        top=1 - top / height,
        wspace=0.04,
        hspace=0.04,
    )
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure, axes


def _galaxy(axis, image: np.ndarray, scale: float) -> None:
    """Draw a galaxy on an asinh stretch from zero to `scale`, which shows faint and bright."""
    stretched = np.arcsinh(10 * np.clip(image / max(scale, 1e-30), 0, 1)) / np.arcsinh(10)
    axis.imshow(stretched, cmap="hot", vmin=0, vmax=1, origin="lower", interpolation="nearest")


def _label_row(axis, label: str) -> None:
    axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9, labelpad=6)


def _quantity(row: dict[str, float], part: str, name: str) -> float:
    if name == "beta_kl":
        return row[f"{part}/beta"] * row[f"{part}/kl"]
    return row[f"{part}/{name}"]
