"""The unit, zero point and pixel scale of a cutout, from its header or as the user gives them."""

import warnings
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from galgen.data.surveys.filters import (
    FILTERS,
    different_filters,
    filter_of,
    swapped_filters,
)
from galgen.data.surveys.photometry import (
    AGREEMENT,
    EXPOSURES,
    NANOJANSKY,
    SYSTEMS,
    ZERO_POINTS,
    canonical,
    number,
    zero_point,
)
from galgen.errors import GalgenError

MATRIX = (
    "CDELT1",
    "CDELT2",
    *(f"{m}{i}_{j}" for m in ("CD", "PC") for i in (1, 2) for j in (1, 2)),
)
SCALES = ("PIXSCALE", "PIXSCAL1", "PIXELSCL", "PIXSIZE", "SECPIX", "D001SCAL")
"""Keywords of the side of a pixel, arcsec, for headers without a WCS."""
KEYWORDS = frozenset(
    (
        *("BUNIT", "PHOTFLAM", "PHOTPLAM", "PHOTFNU", "FLUXMAG0"),
        *(*ZERO_POINTS, *SYSTEMS, *EXPOSURES, *FILTERS, *SCALES, *MATRIX),
        *("CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2", "CROTA2"),
    )
)
"""Keywords that a calibration depends on; positions do not belong to them."""
ALIKE = 0.01
"""Largest relative difference of pixel scales that are taken for one."""
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Given:
    """A calibration as the user gives it, None where the header decides."""

    unit: str | None = None
    zero_point: float | None = None
    """AB magnitude of one unit."""
    pixel_scale: float | None = None
    """arcsec"""


@dataclass(frozen=True)
class Calibration:
    """How a cutout is calibrated."""

    unit: str
    zero_point: float | None
    """AB magnitude of one unit; None where unknown."""
    pixel_scale: float | None
    """arcsec; None where unknown."""
    band: str | None
    """Its filter, by the header."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """Sentences for the user."""

    def same_pixels(self, other: "Calibration") -> bool:
        """Tell whether the pixel scales agree, where both are known."""
        scales = self.pixel_scale, other.pixel_scale
        return None in scales or abs(scales[0] / scales[1] - 1) < ALIKE


@lru_cache(maxsize=4096)
def calibrate(cards: tuple[str, ...], given: Given) -> Calibration:
    """Find the calibration of a cutout; most cutouts of a survey share one.

    Args:
        cards: of its header, those of KEYWORDS; none for arrays.
        given: what the user says.
    """
    header = fits.Header()
    for card in cards:
        parsed = fits.Card.fromstring(card)
        if parsed.keyword not in header:  # the extension's before the primary's
            header.append(parsed)
    notes = []
    scale = given.pixel_scale or _pixel_scale(header)
    if given.unit is not None:
        header["BUNIT"] = given.unit
    found = zero_point(header, scale or np.nan, "cutouts.zero_point")
    value = found.value if found.value is not None and np.isfinite(found.value) else None
    if given.zero_point is None:
        notes += [note for note in found.notes if not note.startswith("the zero point is unknown")]
        if value is None:
            notes.append(
                "the zero point is unknown; cutouts.zero_point=<AB magnitude of one unit> gives it"
            )
        if found.source == "BUNIT" and given.unit is not None:
            notes = [note.replace("the header's BUNIT", "cutouts.unit") for note in notes]
    elif value is not None and abs(value - given.zero_point) > AGREEMENT:
        notes.append(
            f"cutouts.zero_point={given.zero_point} is used, but the {found.source} of the header "
            f"gives {value:.4f}"
        )
    return Calibration(
        unit=canonical(str(header.get("BUNIT", ""))),
        zero_point=value if given.zero_point is None else given.zero_point,
        pixel_scale=scale,
        band=filter_of(header),
        notes=tuple(notes),
    )


def _pixel_scale(header: fits.Header) -> float | None:
    """Return the side of a pixel by the WCS, or by a keyword, arcsec; None where unknown."""
    if "CTYPE1" in header and any(word in header for word in MATRIX):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                scales = proj_plane_pixel_scales(WCS(header).celestial) * 3600
            except Exception:  # wcslib has many
                scales = np.array([])
        if scales.size == 2 and np.isfinite(scales).all() and (scales > 0).all():
            return float(np.sqrt(scales.prod()))
    found = (number(header, word) for word in SCALES)
    return next((value for value in found if value is not None and value > 0), None)


def contradicting_filters(bands: list[str], cards: list[list[tuple[str, ...]]]) -> list[str]:
    """Say where the filters in headers contradict each other, or the names of the bands.

    Args:
        bands: names of the bands, (B,).
        cards: of the headers of the cutouts that were looked at, in each band.
    """
    filters = [[calibrate(each, Given()).band for each in found] for found in cards]
    notes = []
    for band, found in zip(bands, filters, strict=True):
        where = f"{band}: " if len(bands) > 1 else ""
        what = f"{len(found)} cutouts that were looked at"
        notes += [where + note for note in different_filters(found, what)]
    first = {band: found[0] for band, found in zip(bands, filters, strict=True)}
    return notes + swapped_filters(first, "cutouts.images")


def common_unit(bands: list[str], native: list[Calibration], notes: list[str]) -> list[Calibration]:
    """Choose the unit that the cutouts of each band are brought to.

    Args:
        bands: names of the bands, (B,).
        native: calibration of the first cutout in each.
        notes: sentences for the user, to which others are added.

    Raises:
        GalgenError: if the bands differ in what cannot be made equal.
    """
    for band, calibration in zip(bands, native, strict=True):
        where = f"{band}: " if len(bands) > 1 else ""
        notes += [where + note for note in calibration.notes]
        if not calibration.same_pixels(native[0]):
            raise GalgenError(
                f"cutouts.images: the pixels of {band} are {calibration.pixel_scale:.4g} arcsec "
                f"wide, those of {bands[0]} {native[0].pixel_scale:.4g}. Galgen does not "
                "resample: give cutouts on one grid of pixels."
            )
    if native[0].pixel_scale is None:
        notes.append("the pixel scale is unknown; cutouts.pixel_scale=<arcsec> gives it")
    if native[0].unit == UNKNOWN:
        notes.append("the unit is unknown; cutouts.unit=<unit> gives it")
    if len({calibration.unit for calibration in native}) == 1:
        return native
    listed = ", ".join(f"{b} {c.unit}" for b, c in zip(bands, native, strict=True))
    if any(calibration.zero_point is None for calibration in native):
        raise GalgenError(
            f"cutouts.unit: the units differ between the bands: {listed}. Give all zero "
            "points, cutouts.zero_point='{<band>: <AB magnitude of one unit>, ...}', and galgen "
            "brings the bands to nJy; or cutouts.unit=<unit>, if the headers are wrong."
        )
    notes.append(f"the units differ between the bands, {listed}: all are brought to nJy")
    return [Calibration("nJy", NANOJANSKY, c.pixel_scale, c.band) for c in native]
