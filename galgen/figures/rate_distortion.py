"""The figure of a beta sweep: rate (KL) against distortion (reconstruction error)."""

import itertools
import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from galgen.figures.display import COLOURS, PAGE, STYLE

COLUMN = 3.5
"""Width of a column of a page, inches."""
TITLE = 48
"""Characters of a title that fit a line."""
WIDE = 3
"""Distortions that span more than this factor are drawn on a logarithmic scale."""
HALF_MARKER = 5
"""Pixels that a label stays away from the middle of a marker."""
OFFSETS = [
    (x * far, y * far)
    for far in (4, 9, 16)
    for x, y in ((1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1), (-1, 1), (1, -1))
]
"""Places of a label around its point, points; the best, the first of equals, is taken."""


def draw_rate_distortion(panels: Sequence[dict]) -> Figure:
    """Draw reconstruction terms over KLs: a marker a run, a line a series in order of beta.

    Args:
        panels: each of runs that can be compared, with `title`, `distortion` (what the
            reconstruction term is, with its unit), `zeros` (those of all-zero predictions) and
            `runs`: dicts of `series`, `beta` (or None), `rate`, `distortion` and `finished`. Runs
            of one series and beta differ in their seeds; the line goes through their mean.
    """
    series = list(dict.fromkeys(run["series"] for panel in panels for run in panel["runs"]))
    colours = dict(zip(series, itertools.cycle(COLOURS), strict=False))
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(STYLE):
        size = (COLUMN if columns == 1 else PAGE, 2.7 * rows + 0.3)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flat
        middles = [_draw_panel(*pair, colours) for pair in zip(axes, panels, strict=False)]
        for unused in axes[len(panels) :]:
            unused.remove()
        _add_legend(figure, panels, colours)
        figure.draw_without_rendering()  # labels go where there is room: it must be known
        for axis, points in zip(figure.axes, middles, strict=True):
            _place_labels(axis, points)
    return figure


def _draw_panel(axis, panel: dict, colours: dict[str, str]) -> list[tuple]:
    """Draw the runs of a panel; return where labels belong, as (x, y, label, colour)."""
    labels = []
    by_series = itertools.groupby(sorted(panel["runs"], key=_order), key=lambda run: run["series"])
    for series, members in by_series:
        middles = []
        for beta, seeds in itertools.groupby(members, key=lambda run: run["beta"]):
            seeds = list(seeds)
            for run in seeds:
                face = colours[series] if run["finished"] else "white"
                style = {"marker": "o", "ms": 5, "mfc": face, "ls": "", "zorder": 3}
                axis.plot(run["rate"], run["distortion"], color=colours[series], **style)
            middle = np.mean([[run["rate"], run["distortion"]] for run in seeds], axis=0)
            middles.append(middle)
            if beta is not None:
                labels.append((*middle, f"β = {beta:.4g}", colours[series]))
        axis.plot(*np.transpose(middles), color=colours[series], lw=1)
    for zero in panel["zeros"]:
        axis.axhline(zero, color="0.5", ls="--", lw=1)
    axis.set_title(textwrap.fill(panel["title"].replace("$", r"\$"), TITLE), fontsize=8)
    axis.set_xlabel("rate: KL [nats per galaxy]")
    axis.set_ylabel(f"distortion: {panel['distortion']}".replace("$", r"\$"))
    axis.margins(0.2)
    _scale(axis)
    return labels


def _order(run: dict) -> tuple:
    return run["series"], run["beta"] is not None, run["beta"] or 0


def _scale(axis) -> None:
    """Draw distortions of several orders on a logarithmic scale, with plain numbers on it."""
    values = np.concatenate([line.get_ydata() for line in axis.lines])
    if values.min() > 0 and values.max() > WIDE * values.min():
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())


def _add_legend(figure: Figure, panels: Sequence[dict], colours: dict[str, str]) -> None:
    """Say below the panels which series is which, and what else is drawn."""
    handles = [
        Line2D([], [], color=colour, marker="o", ms=5, lw=1, label=series.replace("$", r"\$"))
        for series, colour in colours.items()
    ]
    if any(panel["zeros"] for panel in panels):
        handles.append(Line2D([], [], color="0.5", ls="--", lw=1, label="all-zero prediction"))
    if not all(run["finished"] for panel in panels for run in panel["runs"]):
        style = {"marker": "o", "ms": 5, "mfc": "white", "ls": ""}
        handles.append(Line2D([], [], color="0.3", label="training not finished", **style))
    longest = max(len(handle.get_label()) for handle in handles)
    columns = max(1, int(figure.get_figwidth() * 18) // (longest + 8))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def _place_labels(axis, labels: list[tuple]) -> None:
    """Write labels beside their points, clear of markers, lines and each other where possible."""
    lines = axis.lines
    paths = [(a.get_color(), a.get_transform().transform_path(a.get_path())) for a in lines]
    markers = [path for a, (_, path) in zip(lines, paths, strict=True) if a.get_marker() == "o"]
    dots = [path.vertices[0] for path in markers]
    taken = [Bbox([dot - HALF_MARKER, dot + HALF_MARKER]) for dot in dots]
    for x, y, label, colour in labels:
        text = axis.annotate(
            label, (x, y), (0, 0), textcoords="offset points", color=colour, fontsize=7
        )
        text.set_in_layout(False)  # or the panels would move under the labels
        costs = [_cost(_move(text, offset), text, taken, paths) for offset in OFFSETS]
        taken.append(_move(text, OFFSETS[np.argmin(costs)]))


def _move(text, offset: tuple[float, float]) -> Bbox:
    """Move a label beside its point, by points; return the pixels that it covers."""
    text.xyann = offset
    text.set_ha(("center", "left", "right")[int(np.sign(offset[0]))])
    text.set_va(("center", "bottom", "top")[int(np.sign(offset[1]))])
    return text.get_window_extent()


def _cost(box: Bbox, text, taken: list[Bbox], paths: list[tuple]) -> float:
    """Say how bad a label's place is: off the panel, on others, beyond lines, far away."""
    inside, point = text.axes.get_window_extent(), text.axes.transData.transform(text.xy)
    reach = Bbox.union([box, Bbox([point, point])])  # another's line between would mislead
    crossed = [
        path.intersects_bbox(box if colour == text.get_color() else reach, filled=False)
        for colour, path in paths
    ]
    out = Bbox.union([box, inside]).bounds != inside.bounds
    overlaps = sum(box.overlaps(other) for other in taken)
    return 10 * out + 4 * overlaps + 2 * sum(crossed) + 0.1 * max(map(abs, text.xyann))
