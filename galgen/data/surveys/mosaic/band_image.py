"""The FITS image of one band: its pixels in sections, its maps and its headers."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from galgen.data.bands import UNKNOWN_BAND
from galgen.data.surveys.filters import filter_of
from galgen.data.surveys.fits_files import (
    ROLES,
    Plane,
    choose,
    file_and_part,
    opened,
    refuse_twice,
    role_of,
)
from galgen.data.surveys.mosaic import detection, missing
from galgen.data.surveys.mosaic.geometry import NoWcs, pixel_scale, read_wcs
from galgen.data.surveys.photometry import AGREEMENT, ZeroPoint, canonical, zero_point
from galgen.errors import GalgenError

SHIFT = 0.5
"""Pixels that a map may be away from its image by its WCS, and one band from another."""
Pixels = tuple[np.ndarray, np.ndarray | None, np.ndarray]
"""Pixels of a section (H, W), NaN where there are no data; their noise in the same way, or None
where it is not known; and why there are no data, as codes of `missing.REASONS`."""


@dataclass
class Facts:
    """Facts from the headers of an image and its maps."""

    shape: tuple[int, int]
    """Height and width, px."""
    wcs: WCS | None
    """None where the header has none."""
    pixel_scale: float | None
    """arcsec, by the WCS."""
    unit: str
    band: str
    header: fits.Header
    """Of the image, with the file's first."""
    planes: dict[str, Plane]
    """The image and its maps."""
    notes: list[str]


class BandImage:
    """A FITS image of the sky in one band, with its maps; read in sections.

    A pixel has no data where it is not finite or BLANK, where the mask is not 0, where its noise or
    weight is not positive and finite or is beyond OUTLIER times the smallest noise, and in an
    area of zeros (or of another value that fills a corner) at the border of the image. Files are
    given as `file.fits` or `file.fits[NAME]`, with the name or number of the extension; without
    it, EXTNAME decides (`SCI`, `ERR`, `WHT`, `DQ`, ...).

    Args:
        files: FITS files of the `image`, and of its maps `rms`, `weight` and `mask`; None where
            there is none.
        hdu: number or name of the image's extension, if its file does not give it.
        zeros: which pixels of exactly 0 have no data: at the `border`, all (`missing`), or none
            (`data`).
        zero_point: AB magnitude of one unit; from the header where None.
        band: its name among several, a part of the keys in messages; empty where it is alone.

    Raises:
        GalgenError: if both rms and weight are given, or two extensions for the image.
    """

    def __init__(
        self,
        files: dict[str, str | Path | None],
        hdu: int | str | None = None,
        zeros: str = "border",
        zero_point: float | None = None,
        band: str = "",
    ):
        self.band, self.zeros, self.zero_point = band, zeros, zero_point
        files = {role: path for role, path in files.items() if path is not None}
        if {"rms", "weight"} <= set(files):
            raise GalgenError(
                f"mosaic.{self.key('rms')}={files['rms']}: mosaic.{self.key('weight')}="
                f"{files['weight']} is given too. Give one of them."
            )
        self.files = {role: file_and_part(path) for role, path in files.items()}
        path, part = self.files["image"]
        if part is not None and hdu is not None and str(hdu).upper() != part.upper():
            raise GalgenError(
                f"mosaic.{self.key('hdu')}={hdu}: mosaic.{self.key('image')} names another "
                f"extension, {part}. Give one of them."
            )
        self.files["image"] = path, part if hdu is None else hdu

    def key(self, option: str) -> str:
        """Return the key of an option of this band, `rms` or `rms.f606w`."""
        if not self.band:
            return option
        return f"{'images' if option == 'image' else option}.{self.band}"

    @cached_property
    def facts(self) -> Facts:
        """Facts from the headers.

        Raises:
            GalgenError: if a file cannot be read or does not hold a two-dimensional image, if two
                of them are one, or the WCS of the image cannot be used.
        """
        planes = {
            role: choose(role, path, hdu, self.key(role))
            for role, (path, hdu) in self.files.items()
        }
        image, notes = planes["image"], []
        for plane in planes.values():
            _check_map(plane, image, notes)
        refuse_twice(list(planes.values()))
        wcs, scale = None, None
        with opened(image.key, image.path) as hdus:
            header = hdus[image.number].header.copy()
            with suppress(NoWcs):
                wcs = read_wcs(image.path, header, hdus, image.key)
            header.extend(hdus[0].header, unique=True)  # HST and JWST have the filter there
        if wcs is not None:
            scale, said = pixel_scale(image.path, wcs, image.shape, image.key)
            notes += said
            notes += [said for plane in planes.values() for said in _offset(plane, wcs)]
        return Facts(
            shape=image.shape,
            wcs=wcs,
            pixel_scale=scale,
            unit=canonical(str(header.get("BUNIT", ""))),
            band=self.band or filter_of(header) or UNKNOWN_BAND,
            header=header,
            planes=planes,
            notes=notes,
        )

    def zero_point_of(self, scale: float, unit: str) -> tuple[float | None, list[str]]:
        """Return the zero point, as given or by the header, and sentences on how it was found.

        Args:
            scale: side of a pixel, arcsec.
            unit: of the image. One that its header does not say gives the zero point where the
                header gives none.
        """
        found = self._found_zero_point(scale, unit)
        if self.zero_point is None:
            return found.value, found.notes
        if found.value is not None and abs(found.value - self.zero_point) > AGREEMENT:
            return self.zero_point, [
                f"mosaic.{self.key('zero_point')}={self.zero_point} is used, but {found.source} "
                f"gives {found.value:.4f}"
            ]
        return self.zero_point, []

    def _found_zero_point(self, scale: float, unit: str) -> ZeroPoint:
        """Return the zero point by the header, or by a unit that is taken to be its own."""
        header = self.facts.header.copy()
        found = zero_point(header, scale)
        source = f"the header's {found.source}"
        if unit == self.facts.unit:
            return ZeroPoint(found.value, source, found.notes)
        header["BUNIT"] = unit
        by_unit = zero_point(header, scale)
        if found.value is None:
            by_header = by_unit.source != "BUNIT"
            source = f"the header's {by_unit.source}" if by_header else f"the unit {unit}"
            notes = [n.replace("the header's BUNIT", source) for n in by_unit.notes]
            return ZeroPoint(by_unit.value, source, notes)
        if by_unit.value is not None and abs(found.value - by_unit.value) > AGREEMENT:
            found.notes.append(f"the unit {unit} would give {by_unit.value:.4f}")
        return ZeroPoint(found.value, source, found.notes)

    @cached_property
    def border(self) -> missing.Border | None:
        """Where the image is empty, if that is looked for.

        Raises:
            GalgenError: if a file is damaged.
        """
        if self.zeros == "data":
            return None
        return missing.find_border(self.facts.planes["image"])

    @cached_property
    def noise_map(self) -> missing.NoiseMap | None:
        """The noise map, or that of the weights; None where there is neither.

        Raises:
            GalgenError: if a file is damaged.
        """
        role = next((role for role in ("rms", "weight") if role in self.files), None)
        return missing.NoiseMap(self.facts.planes[role]) if role else None

    @cached_property
    def mask(self) -> missing.Mask | None:
        """The mask, if there is one.

        Raises:
            GalgenError: if a file is damaged.
        """
        return missing.Mask(self.facts.planes["mask"]) if "mask" in self.files else None

    def read(self, section: detection.Section) -> Pixels:
        """Read a section of the image and of its noise map.

        Args:
            section: slices of the image.

        Returns:
            Pixels, float64, their noise, and why there are no data.

        Raises:
            GalgenError: if a file is damaged.
        """
        noise = None
        data = self.facts.planes["image"].read(*section)
        why = np.where(np.isfinite(data), 0, missing.NUMBER).astype(np.uint8)

        def mark(chosen: np.ndarray, reason: int) -> None:
            why[chosen & (why == 0)] = reason

        if self.mask is not None:
            mark(self.mask.read(*section), missing.MASK)
        if self.noise_map is not None:
            noise = self.noise_map.read(*section)
            mark(np.isnan(noise), missing.NOISE)
        if self.border is not None:
            mark(self.border.missing(data, *section), missing.BORDER)
        if self.zeros == "missing":
            mark(data == 0, missing.ZERO)
        data[why > 0] = np.nan
        if noise is not None:
            noise[why > 0] = np.nan
        return data, noise, why


def _check_map(plane: Plane, image: Plane, notes: list[str]) -> None:
    """Refuse a map that is not of the image, and note a suspicious name."""
    if plane.shape != image.shape:
        (height, width), (rows, columns) = plane.shape, image.shape
        raise GalgenError(
            f"mosaic.{plane.key}={plane.path}: the map has {width} x {height} px, the image "
            f"{columns} x {rows}. Give the map of the same pixels."
        )
    other = role_of(plane.name)
    if other == "variances" and plane.role in ("rms", "weight"):
        raise GalgenError(
            f"mosaic.{plane.key}={plane.path}: the name of the extension, {plane.name}, is "
            "that of variances. Save its square root for mosaic.rms, or 1 over it for "
            "mosaic.weight, and give that."
        )
    if other not in (None, plane.role):
        meant = f"one of mosaic.{other}" if other in ROLES else f"a map of {other}"
        notes.append(
            f"mosaic.{plane.key} is the extension {plane.name} of {plane.path.name}, whose name "
            f"is that of {meant}"
        )


def _offset(plane: Plane, wcs: WCS) -> list[str]:
    """Say how far a map is from the image by its WCS, if it has one and that is far."""
    height, width = plane.shape
    with suppress(GalgenError), opened(plane.key, plane.path) as hdus:
        own = read_wcs(plane.path, hdus[plane.number].header, hdus, plane.key)
        centre = own.pixel_to_world((width - 1) / 2, (height - 1) / 2)
        x, y = wcs.world_to_pixel(centre)
        away = float(np.hypot(x - (width - 1) / 2, y - (height - 1) / 2))
        if away > SHIFT:
            return [
                f"mosaic.{plane.key}: the WCS of {plane.path.name} puts its centre {away:.3g} px "
                "away from that of the image; pixels are taken by their number. Is it a map "
                "of this image?"
            ]
    return []
