"""Writing the figures of a picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from galgen import figures

FORMATS = (".png", ".pdf")


def save_all(
    drawn: dict[str, Figure], folder: Path, formats: Sequence[str], suffix: str = ""
) -> list[Path]:
    """Write figures by name in each format; return the files.

    Args:
        drawn: the figures.
        folder: where they go.
        formats: endings of the files.
        suffix: of their names, which says what they were drawn with.

    Raises:
        OSError: if the folder cannot be written to.
    """
    paths = []
    for name, figure in drawn.items():
        for ending in formats:
            paths.append(folder / f"{name}{suffix}{ending}")
            figures.save(figure, paths[-1])
    return paths
