"""Figures become files."""

import logging
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from galgen.figures.display import STYLE
from galgen.files import written_whole

FORMATS = (".png", ".pdf")
logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs every glyph in a PDF


def save_all(figures: dict[str, Figure], folder: Path, suffix: str = "") -> list[Path]:
    """Write figures by name as PNG and as PDF; return the files.

    Args:
        figures: by name.
        folder: where the files go; it is made.
        suffix: end of the file names, for the settings of the figures.

    Raises:
        OSError: if the folder cannot be written to.
    """
    paths = []
    for name, figure in figures.items():
        for ending in FORMATS:
            paths.append(folder / f"{name}{suffix}{ending}")
            save(figure, paths[-1])
    return paths


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or PDF; it appears when it is complete.

    Args:
        figure: the figure.
        path: the file; its extension sets the format; its folder is created.
    """
    with written_whole(path) as part, matplotlib.rc_context(STYLE):
        dots = figure.get_dpi() if figure.get_dpi() > 100 else 200
        figure.savefig(part, format=path.suffix[1:], dpi=dots)
