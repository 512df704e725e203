"""Pictures of losses over epochs."""

from collections.abc import Sequence
from pathlib import Path

from galgen import figures
from galgen.pictures.saving import FORMATS, save_all


class Losses:
    """The loss curves of one run or several.

    Args:
        scale: `log` or `linear`.

    Raises:
        ValueError: if the scale is another.
    """

    def __init__(self, scale: str = "log"):
        if scale not in ("log", "linear"):
            raise ValueError(f"scale is {scale!r}, it can be log or linear")
        self.scale = scale

    def write(
        self,
        curves: dict[str, list[dict]],
        folder: Path,
        formats: Sequence[str] = FORMATS,
        suffix: str = "",
    ) -> list[Path]:
        """Draw curves by label, as `records.read_curves` gives them, and write the figure."""
        return save_all({"losses": figures.losses(curves, self.scale)}, folder, formats, suffix)
