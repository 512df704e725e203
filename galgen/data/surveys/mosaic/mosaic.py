"""A FITS mosaic: its pixels in sections, its maps and its headers."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

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
from galgen.data.surveys.mosaic.geometry import pixel_scale, read_wcs
from galgen.data.surveys.mosaic.source_table import WANTED
from galgen.data.surveys.photometry import AGREEMENT, canonical, zero_point
from galgen.errors import GalgenError
from galgen.files import sha256

NEIGHBOURS = ("noise", "mask", "keep")
ZEROS = ("border", "missing", "data")
SHIFT = 0.5
"""Pixels that a map may be away from the image by its WCS."""


@dataclass
class Facts:
    """Facts from the headers of a mosaic."""

    shape: tuple[int, int]
    """Height and width, px."""
    wcs: WCS
    pixel_scale: float
    """arcsec"""
    unit: str
    band: str
    zero_point: float | None
    """AB magnitude of one unit."""
    planes: dict[str, Plane]
    """The image and its maps."""
    notes: list[str]


class Mosaic:
    """A FITS image of the sky, with its maps and its catalogue; read in sections.

    A pixel has no data where it is not finite or BLANK, where the mask is not 0, where its noise or
    weight is not positive and finite or is beyond OUTLIER times the smallest noise, and in an
    area of zeros (or of another value that fills a corner) at the border of the image. Files are
    given as `file.fits` or `file.fits[NAME]`, with the name or number of the extension; without
    it, EXTNAME decides (`SCI`, `ERR`, `WHT`, `DQ`, ...).

    Args:
        image: FITS file, compressed by fpack or gzip or not.
        hdu: number or name of its extension, if `image` does not give it.
        rms: FITS file of the noise of each pixel, in the image's unit.
        weight: FITS file of 1 / noise^2 of each pixel.
        mask: FITS file that is 0 where the image has data: a map of data quality or of flags; its
            bits DETECTED do not count.
        zeros: whether pixels of exactly 0 have no data: at the `border`, all (`missing`), or none
            (`data`).
        zero_point: AB magnitude of one unit; from the header where None.
        band: name of the filter; from the header where None.
        catalogue: table of galaxies; all detected sources are galaxies where None.
        columns: names of its columns `ra`, `dec`, `redshift`, `id`, if galgen cannot infer them.
        match_radius: largest distance of a galaxy from its detection, arcsec.
        threshold: of detection, in units of the noise.
        min_pixels: connected pixels above it that make a source.
        neighbours: how other sources in a stamp are treated: `noise` replaces them, `mask` sets
            them to 0 and writes weights, `keep` leaves them.

    Raises:
        ValueError: if an argument is out of range.
        GalgenError: if both rms and weight are given, or two extensions for the image.
    """

    def __init__(
        self,
        image: str | Path,
        hdu: int | str | None = None,
        rms: str | Path | None = None,
        weight: str | Path | None = None,
        mask: str | Path | None = None,
        zeros: str = "border",
        zero_point: float | None = None,
        band: str | None = None,
        catalogue: str | Path | None = None,
        columns: dict[str, str] | None = None,
        match_radius: float = 0.5,
        threshold: float = 3.0,
        min_pixels: int = 25,
        neighbours: str = "noise",
    ):
        positive = {"match_radius": match_radius, "threshold": threshold, "min_pixels": min_pixels}
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"mosaic.{name}={value}: it must be positive.")
        for name, value, allowed in (
            ("neighbours", neighbours, NEIGHBOURS),
            ("zeros", zeros, ZEROS),
        ):
            if value not in allowed:
                raise ValueError(f"mosaic.{name}={value}: it can be {', '.join(allowed)}.")
        for name in columns or {}:
            if name not in WANTED:
                raise ValueError(f"mosaic.columns.{name} is not one of {', '.join(WANTED)}")
        if rms is not None and weight is not None:
            raise GalgenError(
                f"mosaic.rms={rms}: mosaic.weight={weight} is given too. Give one of them."
            )
        paths = {"image": image, "rms": rms, "weight": weight, "mask": mask}
        self.images = {
            role: file_and_part(path) for role, path in paths.items() if path is not None
        }
        path, part = self.images["image"]
        if part is not None and hdu is not None and str(hdu).upper() != part.upper():
            raise GalgenError(
                f"mosaic.hdu={hdu}: mosaic.image names another extension, {part}. Give one of them."
            )
        self.images["image"] = path, part if hdu is None else hdu
        self.zeros, self.zero_point, self.band = zeros, zero_point, band
        self.catalogue, self.columns, self.match_radius = catalogue, columns or {}, match_radius
        self.threshold, self.min_pixels, self.neighbours = threshold, min_pixels, neighbours

    @cached_property
    def facts(self) -> Facts:
        """Facts from the headers.

        Raises:
            GalgenError: if a file cannot be read or does not hold a two-dimensional image, if two
                of them are one, or the image has no celestial WCS of square pixels.
        """
        planes = {role: choose(role, path, hdu) for role, (path, hdu) in self.images.items()}
        image, notes = planes["image"], []
        for role, plane in planes.items():
            if plane.shape != image.shape:
                (height, width), (rows, columns) = plane.shape, image.shape
                raise GalgenError(
                    f"mosaic.{role}={plane.path}: the map has {width} x {height} px, the image "
                    f"{columns} x {rows}. Give the map of the same pixels."
                )
            other = role_of(plane.name)
            if other == "variances" and role in ("rms", "weight"):
                raise GalgenError(
                    f"mosaic.{role}={plane.path}: the name of the extension, {plane.name}, is "
                    "that of variances. Save its square root for mosaic.rms, or 1 over it for "
                    "mosaic.weight, and give that."
                )
            if other not in (None, role):
                meant = f"one of mosaic.{other}" if other in ROLES else f"a map of {other}"
                notes.append(
                    f"mosaic.{role} is the extension {plane.name} of {plane.path.name}, whose name "
                    f"is that of {meant}"
                )
        refuse_twice(planes)
        with opened("image", image.path) as hdus:
            wcs = read_wcs(image.path, hdus[image.number].header, hdus)
            header = hdus[image.number].header.copy()
            header.extend(hdus[0].header, unique=True)  # HST and JWST have the filter there
        scale, said = pixel_scale(image.path, wcs, image.shape)
        notes += said
        for role, plane in planes.items():
            away = self._offset(plane, wcs)
            if away > SHIFT:
                notes.append(
                    f"mosaic.{role}: the WCS of {plane.path.name} puts its centre {away:.3g} px "
                    "away from that of the image; pixels are taken by their number. Is it a map "
                    "of this image?"
                )
        return Facts(
            shape=image.shape,
            wcs=wcs,
            pixel_scale=scale,
            unit=canonical(str(header.get("BUNIT", ""))),
            band=self.band or _band(header),
            zero_point=self._zero_point(header, scale, notes),
            planes=planes,
            notes=notes,
        )

    def _offset(self, plane: Plane, wcs: WCS) -> float:
        """Return how far a map is from the image by its WCS, px; 0 where it has none."""
        height, width = plane.shape
        with suppress(GalgenError), opened(plane.role, plane.path) as hdus:
            own = read_wcs(plane.path, hdus[plane.number].header, hdus)
            centre = own.pixel_to_world((width - 1) / 2, (height - 1) / 2)
            x, y = wcs.world_to_pixel(centre)
            return float(np.hypot(x - (width - 1) / 2, y - (height - 1) / 2))
        return 0.0

    def _zero_point(self, header: fits.Header, scale: float, notes: list[str]) -> float | None:
        """Return the zero point, as given or by the header, and note how it was found."""
        found = zero_point(header, scale)
        if self.zero_point is None:
            notes += found.notes
            return found.value
        if found.value is not None and abs(found.value - self.zero_point) > AGREEMENT:
            notes.append(
                f"mosaic.zero_point={self.zero_point} is used, but the header's {found.source} "
                f"gives {found.value:.4f}"
            )
        return self.zero_point

    @cached_property
    def hashes(self) -> dict[str, tuple[str, str]]:
        """Name and sha256 of the files of the image, its maps and `catalogue`."""
        paths = {name: path for name, (path, _) in self.images.items()}
        if self.catalogue is not None:
            paths["catalogue"] = file_and_part(self.catalogue)[0]
        return {name: (path.name, sha256(path)) for name, path in paths.items()}

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
        role = next((role for role in ("rms", "weight") if role in self.images), None)
        return missing.NoiseMap(self.facts.planes[role]) if role else None

    @cached_property
    def mask(self) -> missing.Mask | None:
        """The mask, if there is one.

        Raises:
            GalgenError: if a file is damaged.
        """
        return missing.Mask(self.facts.planes["mask"]) if "mask" in self.images else None

    def read(self, section: detection.Section) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Read a section of the image and of its noise map.

        Args:
            section: slices of the image.

        Returns:
            Pixels (H, W), float64, NaN where there are no data; their noise in the same way, or
            None where there is no map; and why there are no data, as codes of `missing.REASONS`.

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


def _band(header: fits.Header) -> str:
    filters = [str(header.get(key, "")).strip() for key in ("FILTER", "FILTER1", "FILTER2")]
    filters = [name for name in filters if name and not name.upper().startswith("CLEAR")]
    return filters[0] if filters else "unknown"
