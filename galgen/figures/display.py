"""How a galaxy is shown, and how figures of galaxies are laid out."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from astropy.visualization import AsinhStretch, LinearStretch, LogStretch
from matplotlib.figure import Figure

PAGE = 7.1
"""Width of a page's text, inches, at which figures are legible."""
STYLES = {"paper": (PAGE, 200), "talk": (4.2, 340)}
"""Width of figures of galaxies, inches, and their dots per inch: the same letters are larger in a
figure of a talk, which has as many pixels."""
DARK = 0.05
"""Fraction of the colour scale below which light is invisible."""
LARGEST_PANEL = 1.2
"""Side of a galaxy in a figure of few, inches."""
SMALL_GAP = 0.04
"""Between panels, as a share of a panel."""
MOST_COLUMNS = 16
NARROWEST = 4.6
"""Width of a figure that its caption fits, inches."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
"""Line colours that colour-blind readers can distinguish (Okabe & Ito 2008, grey for yellow)."""
STYLE = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
}
STRETCHES = {"asinh": AsinhStretch(0.1), "linear": LinearStretch(), "log": LogStretch(1000)}
NARROW = 0.68
"""Width of a panel below which a redshift in words has no room, inches."""
BARS = (10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05)
"""Lengths of a scale bar, arcsec."""


@dataclass
class Display:
    """How a galaxy is shown.

    Args:
        cmap: a matplotlib colour map, for brightness from 0 to the peak.
        stretch: `asinh`, `linear` or `log` (of astropy.visualization).
        zoom: the middle 1 / zoom of each image is shown.
        pixel_scale: arcsec; with it, a scale bar is drawn.
        band: number of the band that is shown.
        style: `paper`, or `talk` for large letters and few galaxies.

    Raises:
        ValueError: if there is no such colour map, stretch or style, or the zoom is below 1.
    """

    cmap: str = "hot"
    stretch: str = "asinh"
    zoom: float = 1.0
    pixel_scale: float | None = None
    style: str = "paper"
    band: int = 0

    def __post_init__(self):
        if self.cmap not in matplotlib.colormaps:
            raise ValueError(
                f"cmap={self.cmap}: it takes a colour map of matplotlib, such as hot, gray, "
                "viridis, cividis."
            )
        if self.stretch not in STRETCHES:
            known = ", ".join(STRETCHES)
            raise ValueError(f"stretch={self.stretch}: it can be one of {known}.")
        if self.style not in STYLES:
            raise ValueError(f"style={self.style}: it can be one of {', '.join(STYLES)}.")
        if not self.zoom >= 1:
            raise ValueError(f"zoom={self.zoom}: it must be 1 or more.")

    def middle(self, image: np.ndarray) -> np.ndarray:
        """Return the pixels of an image (B, H, W) that are shown, (h, w)."""
        whole = image.shape[-1]
        side = max(1, round(whole / self.zoom))
        start = (whole - side) // 2
        return image[self.band, start : start + side, start : start + side]

    def show(self, axis, image: np.ndarray, peak: float) -> None:
        """Draw an image (B, H, W), from 0 to a peak, its first pixel at the lower left."""
        shown = STRETCHES[self.stretch](relative(self.middle(image), peak))
        cmap = matplotlib.colormaps[self.cmap]
        axis.imshow(shown, cmap=cmap, vmin=0, vmax=1, origin="lower", interpolation="nearest")

    def bar(self, axis, image: np.ndarray) -> None:
        """Draw the scale bar onto an image (B, H, W)."""
        if self.pixel_scale:
            dark = sum(matplotlib.colormaps[self.cmap](0.0)[:3]) < 1.5
            start = 0.07 * len(self.middle(image))
            ends = [start, start + self.bar_length(image) / self.pixel_scale]
            axis.plot(ends, [start, start], color="white" if dark else "black", lw=1.2)

    def bar_length(self, image: np.ndarray) -> float:
        """Return the length of the scale bar on an image (B, H, W), arcsec."""
        width = len(self.middle(image)) * self.pixel_scale
        return next((bar for bar in BARS if bar <= 0.45 * width), BARS[-1])

    def caption(self, image: np.ndarray, scale: str) -> str:
        """Say how images such as this one are shown: bar, stretch, brightness, what stays dark."""
        bar = f'bar {self.bar_length(image):g}", ' if self.pixel_scale else ""
        light = np.geomspace(1e-6, 1, 601)
        faintest = light[np.argmax(STRETCHES[self.stretch](light) > DARK)]
        unseen = f"light below {100 * faintest:.2g}\N{NO-BREAK SPACE}% of it is dark"
        return f"{bar}{self.stretch} stretch from 0 to {scale}; {unseen}"


def relative(image: np.ndarray, peak: float) -> np.ndarray:
    """Return an image over its peak, cut to 0 to 1; 0 where there is no light."""
    return np.clip(image / peak, 0, 1) if peak > 0 else np.zeros(np.shape(image))


def grid(
    rows: int,
    columns: int,
    style: str = "paper",
    left: float = 0.05,
    top: float = 0.3,
    bottom: float = 0.22,
    gap: float = SMALL_GAP,
):
    """Make a grid of square panels without ticks, with a line for the caption below.

    Args:
        rows: number of rows.
        columns: number of columns.
        style: of STYLES.
        left: margin for the rows' labels, inches.
        top: margin for the titles, inches.
        bottom: margin for the caption, inches.
        gap: between rows, as a share of a panel.

    Returns:
        The figure, and its axes (rows, columns).

    Raises:
        ValueError: if there are too many columns for a page.
    """
    if columns > MOST_COLUMNS:
        raise ValueError(
            f"{columns} galaxies side by side are too small to see; at most {MOST_COLUMNS}"
        )
    across, down = columns + SMALL_GAP * (columns - 1), rows + gap * (rows - 1)
    page, dpi = STYLES[style]
    panel = min(LARGEST_PANEL, (page - left - 0.05) / across)
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
        hspace=gap,
    )
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure, axes


def add_caption(figure: Figure, text: str) -> None:
    """Write a line below the panels, in smaller lines where the figure is narrow."""
    lines = textwrap.wrap(text, int(figure.get_figwidth() * 19))
    size = 7 if len(lines) < 2 else 5
    figure.text(0.01, 0.02 / figure.get_figheight(), "\n".join(lines), fontsize=size, va="bottom")


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
    """Explain in a caption the numbers above narrow panels."""
    return "; numbers: redshifts" if is_narrow(axis) else ""


def is_narrow(axis) -> bool:
    """Say whether a panel is too narrow for a redshift in words."""
    return axis.get_position().width * axis.figure.get_figwidth() < NARROW
