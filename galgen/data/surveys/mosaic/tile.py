"""A tile of a mosaic: its image in each band, on one grid of pixels."""

from dataclasses import dataclass
from functools import cached_property

from astropy.wcs import WCS

from galgen.data.surveys.filters import filter_of, swapped_filters
from galgen.data.surveys.mosaic import detection
from galgen.data.surveys.mosaic.band_image import SHIFT, BandImage, Facts, Pixels
from galgen.data.surveys.mosaic.geometry import ALIKE, NoWcs, distance
from galgen.data.surveys.mosaic.reprojection import Reprojected
from galgen.data.surveys.photometry import UNKNOWN_UNIT
from galgen.errors import GalgenError

SAID = 0.05
"""Pixels that a band may be away from another without a word."""


@dataclass
class TileFacts:
    """Facts from the headers of all bands, B of them."""

    shape: tuple[int, int]
    """Height and width, px."""
    wcs: WCS | None
    """None where the images have none."""
    pixel_scale: float
    """arcsec"""
    unit: str
    bands: list[str]
    zero_points: list[float | None]
    """AB magnitude of one unit in each band, (B,)."""
    notes: list[str]


class Tile:
    """Images of one part of the sky, one in each band, on one grid.

    Args:
        images: of the bands.
        reference: number of the band whose grid counts.
        reproject: whether bands on another grid are brought to it.
        pixel_scale: of images without a WCS, arcsec.
    """

    def __init__(
        self, images: list[BandImage], reference: int, reproject: bool, pixel_scale: float | None
    ):
        self.images, self.reference = images, reference
        self.reproject, self.pixel_scale = reproject, pixel_scale

    @cached_property
    def facts(self) -> TileFacts:
        """Facts from the headers.

        Raises:
            GalgenError: if an image cannot be used, or is not on the grid of the others.
        """
        bands = [image.facts for image in self.images]
        master, notes = bands[self.reference], []
        for image, facts in zip(self.images, bands, strict=True):
            notes += [self.of_band(note, image) for note in facts.notes]
        if len(bands) > 1:
            filters = {facts.band: filter_of(facts.header) for facts in bands}
            notes += swapped_filters(filters, "mosaic.images")
        wcs, scale = self._grid(bands, notes)
        points, unit = [], self._unit(bands, notes)
        for image, facts in zip(self.images, bands, strict=True):
            self._check_grid(image, facts, master, notes)
            point, said = image.zero_point_of(facts.pixel_scale or scale, unit)
            points.append(point)
            notes += [self.of_band(note, image) for note in said]
        for number, reader in enumerate(self.readers):
            if isinstance(reader, Reprojected):
                notes.append(reader.note)
                if points[number] is not None:
                    points[number] += reader.zero_point_shift
        return TileFacts(
            shape=master.shape,
            wcs=wcs,
            pixel_scale=scale,
            unit=unit,
            bands=[facts.band for facts in bands],
            zero_points=points,
            notes=notes,
        )

    @cached_property
    def readers(self) -> list[BandImage | Reprojected]:
        """What reads the pixels of each band on the grid: its image, or a reprojection of it."""
        master = self.images[self.reference].facts
        unit = self._unit([image.facts for image in self.images], [])
        return [
            Reprojected(image, master, unit) if _off_grid(image.facts, master) else image
            for image in self.images
        ]

    def read(self, section: detection.Section) -> list[Pixels]:
        """Read a section of each band.

        Args:
            section: slices of the grid.

        Returns:
            For each band: pixels, their noise, and why there are no data.

        Raises:
            GalgenError: if a file is damaged.
        """
        return [reader.read(section) for reader in self.readers]

    def of_band(self, note: str, image: BandImage) -> str:
        """Return a sentence about one band, with its name where there are several."""
        return f"{image.band}: {note}" if image.band else note

    def named(self, note: str, tiles: int) -> str:
        """Return a sentence about the tile, with its first file's name where there are some."""
        path = self.images[0].files["image"][0]
        return f"{path.name}: {note}" if tiles > 1 else note

    def _grid(self, bands: list[Facts], notes: list[str]) -> tuple[WCS | None, float]:
        """Return the WCS and the pixel scale (arcsec): of the reference, else of any band."""
        known = [facts for facts in (bands[self.reference], *bands) if facts.wcs is not None]
        if not known and self.pixel_scale is None:
            plane = bands[self.reference].planes["image"]
            raise NoWcs(plane.path, plane.key)
        without = [facts.band for facts in bands if facts.wcs is None]
        if without and len(bands) > 1:
            notes.append(
                f"no WCS in {', '.join(without)}: the bands are taken to lie on one grid, because "
                "they have as many pixels"
            )
        if not known:
            notes.append("there is no WCS: galaxies have positions in pixels, no RA and Dec")
            return None, float(self.pixel_scale)
        scale = known[0].pixel_scale
        if self.pixel_scale is not None and abs(self.pixel_scale / scale - 1) > ALIKE:
            raise GalgenError(
                f"mosaic.pixel_scale={self.pixel_scale}: the WCS of the image says {scale:.4f} "
                "arcsec. Leave it out."
            )
        return known[0].wcs, scale

    def _check_grid(self, image: BandImage, facts: Facts, master: Facts, notes: list[str]) -> None:
        """Refuse a band on another grid than the reference's, unless it is reprojected."""
        away = _off_grid(facts, master)
        plane, other = facts.planes["image"], master.planes["image"]
        if not away:
            known = facts is not master and facts.wcs is not None and master.wcs is not None
            shift = distance(master.wcs, facts.wcs, facts.shape) if known else 0.0
            if shift > SAID:
                notes.append(
                    f"{facts.band}: its WCS puts its corners up to {shift:.2g} px away from those "
                    f"of {master.band}; pixels are taken by their number"
                )
            return
        where = (
            f"mosaic.{plane.key}={plane.path}: it is not on the grid of {master.band} "
            f"({other.path}): {away}."
        )
        if facts.wcs is None or master.wcs is None:
            raise GalgenError(f"{where} Give images of the same pixels, or with a WCS.")
        if not self.reproject:
            raise GalgenError(
                f"{where} Give mosaic.reproject=true, which resamples it, or an image on that grid."
            )

    def _unit(self, bands: list[Facts], notes: list[str]) -> str:
        """Return the one unit of the bands; a band that does not say its own has that too."""
        units = {facts.unit for facts in bands}
        known = units - {UNKNOWN_UNIT}
        if len(known) > 1:
            first = next(facts for facts in bands if facts.unit in known)
            other = next(facts for facts in bands if facts.unit in known - {first.unit})
            plane = other.planes["image"]
            raise GalgenError(
                f"mosaic.{plane.key}={plane.path}: its unit is {other.unit}, that of {first.band} "
                f"{first.unit}. Convert one of them: all bands of a stamp file have one unit, each "
                "with a zero point of its own."
            )
        if len(units) > 1:
            without = [facts.band for facts in bands if facts.unit == UNKNOWN_UNIT]
            notes.append(
                f"the header of {', '.join(without)} has no BUNIT; its unit is taken to be that of "
                f"the other bands, {next(iter(known))}"
            )
        return next(iter(known or units))


def _off_grid(facts: Facts, master: Facts) -> str:
    """Say why an image is not on the grid of another; an empty string where it is."""
    if facts is master:
        return ""
    if facts.shape != master.shape:
        (height, width), (rows, columns) = facts.shape, master.shape
        return f"it has {width} x {height} px, not {columns} x {rows}"
    if facts.wcs is None or master.wcs is None:
        return ""
    away = distance(master.wcs, facts.wcs, facts.shape)
    return f"its corners are up to {away:.3g} px away by the WCS" if away > SHIFT else ""
