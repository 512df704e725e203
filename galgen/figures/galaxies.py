"""Figures of galaxies, side by side."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from galgen.figures.display import STRETCHES, Display, add_caption, grid, label_row, relative

NARROW = 0.68
"""Width of a panel below which a redshift in words has no room, inches."""
SHEET = 8
"""Galaxies in a row of a contact sheet."""


def reconstruction(
    originals: np.ndarray,
    reconstructions: np.ndarray,
    redshift: np.ndarray | None = None,
    predicted: np.ndarray | None = None,
    numbers: Sequence[int] | None = None,
    display: Display | None = None,
) -> Figure:
    """Draw originals over reconstructions over residuals.

    Args:
        originals: images (N, H, W).
        reconstructions: images (N, H, W), on the same scale.
        redshift: (N,), written above each galaxy where it is finite.
        predicted: (N,), the redshifts that a model predicts, written below those.
        numbers: of the galaxies in their split, (N,), written below them.
        display: how galaxies are shown.
    """
    display = display or Display()
    residuals = originals - reconstructions
    top, bottom = 0.4 if predicted is not None else 0.24, 0.22 if numbers is None else 0.34
    figure, axes = grid(3, len(originals), display.style, 1.02, top, bottom)
    columns = len(originals)
    for column in range(columns):
        peak = originals[column].max()
        display.show(axes[0, column], originals[column], peak)
        display.show(axes[1, column], reconstructions[column], peak)
        residual, limit = display.middle(residuals[column]), 0.3 * peak
        axes[2, column].imshow(residual, cmap="RdBu_r", vmin=-limit, vmax=limit, origin="lower")
        title = [redshift_title(redshift[column], axes[0, column])] if redshift is not None else []
        if predicted is not None:
            title.append(f"predicted {predicted[column]:.2f}")
        axes[0, column].set_title("\n".join(title), fontsize=7, pad=3)
        if numbers is not None:
            axes[2, column].set_xlabel(f"no. {numbers[column]}", fontsize=7, labelpad=2)
    for row, label in enumerate(("survey", "reconstruction", "residual\n(±30 % of peak)")):
        label_row(axes[row, 0], label)
    display.bar(axes[0, 0], originals[0])
    note = redshift_note(axes[0, 0]) if redshift is not None else ""
    caption = display.caption(originals[0], "the peak of the survey's galaxy")
    add_caption(figure, caption + note)
    return figure


def samples(
    images: np.ndarray,
    redshifts: Sequence[float] | np.ndarray | None = None,
    peak: float | None = None,
    display: Display | None = None,
    prior: str = "N(0, 1)",
    numbers: Sequence[int] | None = None,
    asked: str = "",
) -> Figure:
    """Draw a grid of generated galaxies.

    Args:
        images: (rows, columns, H, W).
        redshifts: of the columns, (columns,), where a row is one latent; of each galaxy,
            (rows, columns); None where the model knows none.
        peak: brightest pixel of the colour scale; each image's own where None.
        display: how galaxies are shown.
        prior: what the latents were drawn from.
        numbers: of the galaxies, (rows,) where a row is one latent.
        asked: other conditions that they were asked for by.
    """
    display = display or Display()
    rows, columns = images.shape[:2]
    numbers = range(rows) if numbers is None else numbers
    shape = np.shape(redshifts) if redshifts is not None else None
    by_column, by_galaxy = shape == (columns,), shape == (rows, columns)
    left, gap = (0.6 if by_column else 0.05), (0.22 if by_galaxy else 0.04)
    top = 0.38 if shape else 0.24
    figure, axes = grid(rows, columns, display.style, left, top, gap=gap)
    for row, column in np.ndindex(rows, columns):
        image, axis = images[row, column], axes[row, column]
        display.show(axis, image, peak or image.max())
        if by_galaxy or (by_column and row == 0):
            value = redshifts[row][column] if by_galaxy else redshifts[column]
            axis.set_title(redshift_title(value, axis), fontsize=7, pad=2)
        if by_column and column == 0:
            label_row(axis, f"galaxy {numbers[row]}")
    figure.suptitle(f"generated from {prior}{asked}", fontsize=8, y=0.995, va="top")
    display.bar(axes[0, 0], images[0, 0])
    scale = f"{peak:g} (the peak of a galaxy)" if peak else "each galaxy's peak"
    note = redshift_note(axes[0, 0]) if shape else ""
    add_caption(figure, display.caption(images[0, 0], scale) + note)
    return figure


def interpolation(
    images: np.ndarray,
    titles: Sequence[str],
    labels: Sequence[str],
    display: Display | None = None,
) -> Figure:
    """Draw galaxies that change from left to right.

    Args:
        images: (rows, columns, H, W), a galaxy a row.
        titles: of the columns.
        labels: of the rows.
        display: how galaxies are shown.
    """
    return _table(images, titles, labels, display or Display())


def traversal(
    images: np.ndarray,
    values: np.ndarray,
    dimensions: Sequence[int],
    kl: np.ndarray,
    display: Display | None = None,
) -> Figure:
    """Draw what each latent dimension does to a galaxy, a row a dimension.

    Args:
        images: (D, steps, H, W).
        values: of the latent in the columns, (steps,).
        dimensions: numbers of the dimensions, (D,).
        kl: of these dimensions, (D,), nats.
        display: how galaxies are shown.
    """
    labels = [f"latent {d}\n{nats:.2f} nats" for d, nats in zip(dimensions, kl, strict=True)]
    titles = [f"{value:+.1f}" for value in values]
    return _table(
        images,
        titles,
        labels,
        display or Display(),
        note="; columns: value of the latent, rows: its KL",
    )


def contact_sheet(
    images: np.ndarray,
    pixel_scale: float | None = None,
    magnitude: np.ndarray | None = None,
    redshift: np.ndarray | None = None,
) -> Figure:
    """Draw galaxies of a survey, each on its own asinh stretch.

    Args:
        images: (N, H, W).
        pixel_scale: arcsec; with it, a scale bar is drawn.
        magnitude: (N,), written above each galaxy.
        redshift: (N,), written above each galaxy.
    """
    display = Display(pixel_scale=pixel_scale)
    figure, axes = grid(-(-len(images) // SHEET), min(len(images), SHEET), top=0.2, gap=0.24)
    for axis in axes.flat[len(images) :]:
        axis.set_visible(False)
    for number, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        display.show(axis, image, image.max())
        label = []
        if magnitude is not None and np.isfinite(magnitude[number]):
            label.append(f"{magnitude[number]:.1f} mag")
        if redshift is not None and np.isfinite(redshift[number]):
            label.append(f"redshift {redshift[number]:.2f}")
        axis.set_title(", ".join(label), fontsize=5, pad=2)
        display.bar(axis, image)
    add_caption(figure, display.caption(images[0], "each galaxy's peak"))
    return figure


def strips(images: np.ndarray, display: Display | None = None) -> np.ndarray:
    """Colour galaxies side by side, a strip for each step, for pages that show one at a time.

    Args:
        images: (galaxies, steps, H, W), each galaxy on one brightness scale.
        display: how galaxies are shown.

    Returns:
        Red, green, blue and opacity, (steps, H, width, 4), uint8, with clear gaps; first row at
        the top.
    """
    display = display or Display()
    cmap, stretch = matplotlib.colormaps[display.cmap], STRETCHES[display.stretch]
    columns = []
    for galaxy in images:
        shown = np.stack([display.middle(image) for image in galaxy])[:, ::-1]
        shown = relative(shown, galaxy.max())
        gap = max(1, shown.shape[-1] // 16)
        tile = cmap(stretch(shown), bytes=True)
        columns.append(np.pad(tile, [(0, 0), (0, 0), (0, gap), (0, 0)]))
    return np.concatenate(columns, axis=2)[:, :, :-gap]


def _table(images, titles, labels, display: Display, note: str = "") -> Figure:
    """Draw rows of galaxies, each row on one brightness scale."""
    rows, columns = images.shape[:2]
    widest = max(len(line) for label in labels for line in label.split("\n"))
    tallest = max(title.count("\n") for title in titles)
    left = 0.15 + 0.062 * widest
    figure, axes = grid(rows, columns, display.style, left, 0.24 + 0.14 * tallest)
    for row in range(rows):
        for column in range(columns):
            display.show(axes[row, column], images[row, column], images[row].max())
        label_row(axes[row, 0], labels[row])
    if is_narrow(axes[0, 0]) and any("redshift" in title for title in titles):
        titles, note = [title.replace("redshift ", "") for title in titles], "; numbers: redshifts"
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=7, pad=3)
    display.bar(axes[0, 0], images[0, 0])
    add_caption(figure, display.caption(images[0, 0], "each row's peak") + note)
    return figure


def redshift_title(value: float, axis) -> str:
    """Write a redshift above a panel; the number alone where the panel is narrow."""
    if not np.isfinite(value):
        return "unknown" if is_narrow(axis) else "redshift unknown"
    return f"{value:.2f}" if is_narrow(axis) else f"redshift {value:.2f}"


def redshift_note(axis) -> str:
    """Say in a caption what the numbers above narrow panels are."""
    return "; numbers: redshifts" if is_narrow(axis) else ""


def is_narrow(axis) -> bool:
    """Say whether a panel is too narrow for a redshift in words."""
    return axis.get_position().width * axis.figure.get_figwidth() < NARROW
