"""The bands of a stamp file, and those of them that are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galgen.errors import GalgenError

UNKNOWN_BAND = "unknown"
"""Name of the band of a file that does not name it."""

BAND_SETS = {
    "hst": ("F435W", "F606W", "F814W", "F125W", "F160W"),
    "lsst": ("u", "g", "r", "i", "z", "y"),
}
"""Bands that have a name together."""


def band_names(bands: str | Sequence[str] | None, key: str = "data.bands") -> list[str] | None:
    """Return the names of bands that may be given by that of a set, or of one alone.

    Args:
        bands: one name, or several; None gives None.
        key: under which the user gives them, for messages.

    Raises:
        ValueError: if it is neither a name nor a list, or a band is named twice.
    """
    if bands is None:
        return None
    if isinstance(bands, str):
        return list(BAND_SETS.get(bands, [bands]))
    if not isinstance(bands, Sequence):
        raise ValueError(
            f"{key}={bands}: it is neither the name of a band nor a list of names. Give such as "
            f"{key}=[F814W]."
        )
    names = list(map(str, bands))
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{key}=[{','.join(names)}]: {twice} stands twice. Give each band once.")
    return names


@dataclass
class Bands:
    """Bands that are read from a stamp file."""

    names: list[str]
    zero_points: list[float | None]
    """AB magnitude of one unit; None where unknown."""
    of_file: int
    """Number of the bands in the file."""
    chosen: list[int] | None
    """Their places in the file; None where all are read in its order."""
    reference: int
    """Number of the reference band among those that are read."""


def read_bands(path: Path, attrs: dict, there: int, wanted: Sequence[str] | None) -> Bands:
    """Read the names and zero points of the bands, and choose those that are wanted.

    Args:
        path: of the stamp file, for messages.
        attrs: its attributes, in which `bands` and `zero_point` become those of the chosen bands.
        there: number of bands of the images.
        wanted: names of the bands; all where None.

    Raises:
        GalgenError: if the attributes contradict the images, or there is no such band.
    """
    one = [attrs.pop("band", UNKNOWN_BAND)] if there == 1 else []
    names = list(map(str, np.atleast_1d(attrs.get("bands", one)).tolist()))
    points = np.atleast_1d(attrs.get("zero_point", [])).tolist() or [None] * there
    for what, found in (("bands", names), ("zero_point", points)):
        if len(found) != there:
            raise GalgenError(
                f"{path}: its images have {there} bands, its attribute '{what}' has {len(found)} "
                "values. Write one for each band."
            )
    if len(set(names)) != there:
        raise GalgenError(f"{path}: two of its bands, {', '.join(names)}, have one name.")
    places = list(range(there)) if wanted is None else _places(path, names, list(wanted))
    if wanted and names == [UNKNOWN_BAND]:
        names = list(wanted)  # the config names what the file does not
    chosen = [names[place] for place in places]
    reference = attrs.get("reference_band")
    bands = Bands(
        names=chosen,
        zero_points=[_finite(points[place]) for place in places],
        of_file=there,
        chosen=None if places == list(range(there)) else places,
        reference=chosen.index(reference) if reference in chosen else 0,
    )
    attrs["bands"] = bands.names
    if "zero_point" in attrs:
        attrs["zero_point"] = bands.zero_points
    return bands


def _places(path: Path, names: list[str], wanted: list[str]) -> list[int]:
    """Return where the wanted bands are among those of the file."""
    if names == [UNKNOWN_BAND] and len(wanted) == 1:
        return [0]
    check_there(wanted, names, f"{path} has")
    return [names.index(band) for band in wanted]


def check_there(wanted: Sequence[str], names: Sequence[str], owner: str) -> None:
    """Check that there are the bands that the user wants; one may name a band without a name.

    Args:
        wanted: names in `data.bands`.
        names: of the bands that there are.
        owner: what has them, with its verb: `the cutouts have`.

    Raises:
        GalgenError: naming the first that is not there.
    """
    if list(names) == [UNKNOWN_BAND] and len(wanted) == 1:
        return
    for band in wanted:
        if band not in names:
            raise GalgenError(
                f"data.bands=[{','.join(wanted)}]: {owner} no band {band}. Give some of "
                f"[{','.join(names)}]."
            )


def _finite(value: float | None) -> float | None:
    """Return a number, or None for one that is unknown."""
    return None if value is None or not np.isfinite(value) else float(value)
