"""Which bands of a picture are red, green and blue, or which one is shown alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from galgen.data.bands import UNKNOWN_BAND, band_names
from galgen.errors import GalgenError

WAVELENGTHS = {
    **{"FUV": 154, "NUV": 231},
    **{"u": 365, "g": 480, "r": 620, "i": 760, "z": 890, "y": 970},
    **{"U": 365, "B": 445, "V": 551, "R": 658, "I": 806, "Z": 880, "Y": 1020},
    **{"J": 1250, "H": 1640, "K": 2190, "Ks": 2150, "VIS": 720},
    **{"W1": 3350, "W2": 4600, "ch1": 3550, "ch2": 4490},
}
"""Of filters whose names do not say them, about, nm: these numbers order bands, no more."""
HST_OR_JWST = re.compile(r"F(\d{3,4})(?:LP|W2|[WMNX])", re.IGNORECASE)
"""A name such as F814W holds the wavelength: in nm from 200 to 999, else in units of 10 nm."""
IN_10_NM = {200, 210, 277, 356, 360, 410, 430, 444, 460, 480, 560, 770}
"""Numbers below 1000 of JWST's filters, which are in units of 10 nm all the same."""
STRIPS = "all"
"""Choice of all bands, one below the other."""
NAMES = ("red", "green", "blue")


@dataclass(frozen=True)
class Channels:
    """What is shown of a galaxy: one band, three colours, or strips of single bands."""

    bands: tuple[tuple[int, ...], ...]
    """Numbers of the bands that each channel is the mean of: red, green, blue; or each strip's."""
    coloured: bool
    text: str
    """For the caption."""


def wavelength(name: str) -> int | None:
    """Return the wavelength of a filter by its name, about, nm; None where the name is unknown.

    Args:
        name: such as F814W, r, Ks, HSC-G or VIKING_Z; what stands before the last separator is the
            instrument's.
    """
    name = re.split(r"[-_./: ]", name)[-1]
    if match := HST_OR_JWST.fullmatch(name):
        number = int(match[1])
        return number if 200 <= number < 1000 and number not in IN_10_NM else 10 * number
    return WAVELENGTHS.get(name, WAVELENGTHS.get(name.lower()))


def choose_channels(
    names: Sequence[str], wanted: str | Sequence[str] | None, reference: int
) -> Channels:
    """Choose what is shown of galaxies.

    By default, the bands are divided by wavelength, the longest third is red, the shortest blue. Of
    four bands, two are green; of five, two each are red and blue; of two, green is their mean.

    Args:
        names: of the bands of the images, (B,).
        wanted: one band; two or three, red first; `all`, for single bands in strips; by default,
            colours of all bands where there are several.
        reference: number of the band that is shown where no name is known.

    Raises:
        ValueError: if what is wanted are no names, or one stands twice.
        GalgenError: if the images lack a band that is wanted.
    """
    wanted = [wanted] if isinstance(wanted, str) else band_names(wanted, "bands")
    if wanted == [STRIPS] and len(names) > 1:
        return Channels(tuple((band,) for band in range(len(names))), False, "")
    if wanted is None or wanted == [STRIPS]:
        if len(names) == 1:
            return _one(names, reference)
        known = [wavelength(name) for name in names]
        order = list(range(len(names)))
        if None not in known:
            order.sort(key=known.__getitem__)
        return _colours(names, _thirds(order)[::-1], None in known)
    given = f"bands=[{','.join(map(str, wanted))}]"
    if len(names) == 1 and len(wanted) > 1:
        name = "" if names[0] == UNKNOWN_BAND else f", {names[0]}"
        raise GalgenError(f"{given}: the run has one band{name}. Give one band.")
    for band in wanted:
        if band not in names:
            raise GalgenError(
                f"{given}: the run has no band {band}. Give some of [{','.join(names)}]."
            )
    if not 1 <= len(wanted) <= 3:
        raise GalgenError(f"{given}: give one band, or two or three of which the first is red.")
    places = [names.index(band) for band in wanted]
    return _one(names, places[0]) if len(places) == 1 else _colours(names, _thirds(places))


def _thirds(order: list[int]) -> list[tuple[int, ...]]:
    """Divide bands into three that differ by at most one; two into the ends and their mean."""
    if len(order) == 2:
        return [(order[0],), tuple(order), (order[1],)]
    ends = (len(order) + 1) // 3
    return [tuple(order[:ends]), tuple(order[ends:-ends]), tuple(order[-ends:])]


def _one(names: Sequence[str], band: int) -> Channels:
    return Channels(((band,),), False, "" if names[band] == UNKNOWN_BAND else names[band])


def _colours(
    names: Sequence[str], bands: list[tuple[int, ...]], unordered: bool = False
) -> Channels:
    parts = ["+".join(names[band] for band in channel) for channel in bands]
    text = ", ".join(f"{colour} {part}" for colour, part in zip(NAMES, parts, strict=True))
    text += " (means)" if any("+" in part for part in parts) else ""
    text += ", in the file's order as not all wavelengths are known" if unordered else ""
    return Channels(tuple(bands), True, text)
