"""How figures of galaxies are laid out: panels, titles, captions."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from galgen.figures.display import GAP, STYLES, Display

LARGEST_PANEL = 1.2
"""Side of a galaxy in a figure of few, inches."""
SMALLEST_STRIP = 0.4
"""Side of a galaxy in strips of bands that a page is too short for, inches."""
PAGE_HEIGHT = 9.3
"""Height of a page's text, inches."""
SMALL_GAP = 0.04
"""Between panels, as a share of a panel."""
MOST_COLUMNS = 16
NARROWEST = 4.6
"""Width of a figure that its caption fits, inches."""
NARROW = 0.68
"""Width of a panel below which a redshift in words has no room, inches."""
CAPTION_SIZE = 6.5
"""Of letters, points."""
LETTERS = 19
"""Of a caption, on an inch."""


def grid(
    rows: int,
    columns: int,
    display: Display,
    left: float = 0.05,
    top: float = 0.3,
    bottom: float = 0.22,
    gap: float = SMALL_GAP,
):
    """Make a grid of panels without ticks, square or strips, with a line for the caption below.

    Args:
        rows: number of rows.
        columns: number of columns.
        display: how galaxies are shown.
        left: margin for the rows' labels, inches.
        top: margin for the titles, inches.
        bottom: margin for the caption, inches.
        gap: between rows, as a share of an image.

    Returns:
        The figure, and its axes (rows, columns).

    Raises:
        ValueError: if there are too many columns for a page.
    """
    if columns > MOST_COLUMNS:
        raise ValueError(
            f"{columns} galaxies side by side are too small to see; at most {MOST_COLUMNS}"
        )
    tall = display.rows + (display.rows - 1) * GAP
    across, down = columns + SMALL_GAP * (columns - 1), tall * rows + gap * (rows - 1)
    page, dpi = STYLES[display.style]
    panel = min(LARGEST_PANEL, (page - left - 0.05) / across)
    if display.rows > 1:
        panel = min(panel, max(SMALLEST_STRIP, (PAGE_HEIGHT - top - bottom) / down))
    least = min(NARROWEST, page)
    width, height = max(panel * across + left + 0.05, least), panel * down + top + bottom
    figure = Figure(figsize=(width, height), dpi=dpi)
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left=left / width,
        right=(left + panel * across) / width,
        bottom=bottom / height,
        top=1 - top / height,
        wspace=SMALL_GAP,
        hspace=gap / tall,
    )
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure, axes


def add_caption(figure: Figure, text: str) -> None:
    """Write lines below the panels; the figure grows where it has no room for them."""
    lines = textwrap.wrap(text, int(figure.get_figwidth() * LETTERS))
    width, height = figure.get_size_inches()
    place, line = figure.subplotpars, 1.25 * CAPTION_SIZE / 72
    more = max(0, (len(lines) - 1) * line - 0.05)
    figure.set_size_inches(width, height + more)
    bottom, top = ((edge * height + more) / (height + more) for edge in (place.bottom, place.top))
    figure.subplots_adjust(bottom=bottom, top=top)
    low = 0.02 / (height + more)
    figure.text(0.01, low, "\n".join(lines), fontsize=CAPTION_SIZE, va="bottom")


def label_row(axis, label: str) -> None:
    """Write a label left of a row of panels."""
    axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8, labelpad=4)


def draw_rows(
    images: np.ndarray,
    titles: Sequence[str],
    labels: Sequence[str],
    display: Display,
    note: str = "",
) -> Figure:
    """Draw rows of galaxies, each row on one brightness scale.

    Args:
        images: (rows, columns, B, H, W).
        titles: of the columns.
        labels: of the rows.
        display: how galaxies are shown.
        note: further text of the caption.
    """
    rows, columns = images.shape[:2]
    widest = max(len(line) for label in labels for line in label.split("\n"))
    tallest = max(title.count("\n") for title in titles)
    left = 0.15 + 0.062 * widest
    figure, axes = grid(rows, columns, display, left, 0.24 + 0.14 * tallest)
    scales = [display.scale(row) for row in images]
    for row in range(rows):
        for column in range(columns):
            display.show(axes[row, column], images[row, column], scales[row])
        label_row(axes[row, 0], labels[row])
    if is_narrow(axes[0, 0]) and any("redshift" in title for title in titles):
        titles, note = [title.replace("redshift ", "") for title in titles], "; numbers: redshifts"
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=7, pad=3)
    display.annotate(axes[0, 0], images[0, 0])
    add_caption(figure, display.caption(images[0, 0], "each row's peak", scales) + note)
    return figure


def redshift_title(value: float, axis) -> str:
    """Write a redshift above a panel, if it is known; the number alone where it is narrow."""
    if not np.isfinite(value):
        return ""
    return f"{value:.2f}" if is_narrow(axis) else f"redshift {value:.2f}"


def redshift_note(axis) -> str:
    """Explain in a caption the numbers above narrow panels."""
    return "; numbers: redshifts" if is_narrow(axis) else ""


def is_narrow(axis) -> bool:
    """Say whether a panel is too narrow for a redshift in words."""
    return axis.get_position().width * axis.figure.get_figwidth() < NARROW
