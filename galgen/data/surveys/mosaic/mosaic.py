"""A mosaic of the sky, as the user describes it: images, maps, catalogue and how to detect."""

from functools import cached_property
from pathlib import Path

import numpy as np

from galgen.config.wording import said
from galgen.data.surveys.filters import different_filters, filter_of
from galgen.data.surveys.fits_files import Plane, file_and_part, refuse_twice
from galgen.data.surveys.mosaic.band_image import BandImage
from galgen.data.surveys.mosaic.options import by_band, image_files
from galgen.data.surveys.mosaic.source_table import WANTED
from galgen.data.surveys.mosaic.tile import Tile
from galgen.errors import GalgenError
from galgen.files import sha256

NEIGHBOURS = ("noise", "mask", "keep")
ZEROS = ("border", "missing", "data")
SUM = "sum"
"""Detects on the noise-weighted sum of the bands."""
SAME = 0.01
"""Zero points of the tiles of one band may differ by it, mag; and pixel scales, relatively."""


class Mosaic:
    """Images of the sky in one band or several, in one tile or several, with their catalogue.

    Options of a band (`rms`, `weight`, `mask`, `hdu`, `zero_point`) take a dictionary by band where
    there are several. `mask`, `hdu` and `zero_point` also take one value for all of them.

    Args:
        image: FITS file, compressed by fpack or gzip or not; a list is of tiles of the sky.
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
        match_radius: largest distance of a galaxy from its detection, and of a source from itself
            in another tile, arcsec.
        threshold: of detection, in units of the noise.
        min_pixels: connected pixels above it that make a source.
        neighbours: how other sources in a stamp are treated: `noise` replaces them, `mask` sets
            them to 0 and writes weights, `keep` leaves them.
        images: instead of `image`, FITS files by band, all on one grid; lists are of tiles.
        detect: the band that sources are detected in, or `sum`, the noise-weighted sum of all.
        reproject: whether bands on another grid are brought to that of the band of detection, or
            of the first with `sum`.
        pixel_scale: of images without a WCS, arcsec.

    Raises:
        ValueError: if an argument is out of range.
        GalgenError: if the images and their options do not fit together.
    """

    def __init__(
        self,
        image: str | Path | list | None = None,
        hdu: int | str | dict | None = None,
        rms: str | Path | list | dict | None = None,
        weight: str | Path | list | dict | None = None,
        mask: str | Path | list | dict | None = None,
        zeros: str = "border",
        zero_point: float | dict | None = None,
        band: str | None = None,
        catalogue: str | Path | None = None,
        columns: dict[str, str] | None = None,
        match_radius: float = 0.5,
        threshold: float = 3.0,
        min_pixels: int = 25,
        neighbours: str = "noise",
        images: dict | None = None,
        detect: str = SUM,
        reproject: bool = False,
        pixel_scale: float | None = None,
    ):
        positive = {"match_radius": match_radius, "threshold": threshold, "min_pixels": min_pixels}
        positive |= {} if pixel_scale is None else {"pixel_scale": pixel_scale}
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"mosaic.{name}={value}: it must be positive.")
        files = image_files(image, images)
        self.bands = list(files)
        for name, value, allowed in (
            ("neighbours", neighbours, NEIGHBOURS),
            ("zeros", zeros, ZEROS),
            ("detect", str(detect), (SUM, *filter(None, self.bands))),
        ):
            if value not in allowed:
                raise ValueError(f"mosaic.{name}={value}: it can be {', '.join(allowed)}.")
        for name in columns or {}:
            if name not in WANTED:
                raise ValueError(f"mosaic.columns.{name}: it is not one of {', '.join(WANTED)}.")
        if band is not None and self.bands != [""]:
            raise GalgenError(
                f"mosaic.band={band}: the bands have their names from mosaic.images. Leave it out."
            )
        self.image_said = f"image={said(image)}" if images is None else f"images={said(images)}"
        self.band, self.zeros = band, zeros
        self.reproject, self.pixel_scale = reproject, pixel_scale
        self.detect = SUM if len(self.bands) == 1 else str(detect)
        self.catalogue, self.columns, self.match_radius = catalogue, columns or {}, match_radius
        self.threshold, self.min_pixels, self.neighbours = threshold, min_pixels, neighbours
        maps = {"image": files, "rms": by_band("rms", rms, files, False)}
        maps |= {"weight": by_band("weight", weight, files, False)}
        maps |= {"mask": by_band("mask", mask, files, True)}
        points = by_band("zero_point", _checked(zero_point), files, True)
        numbers = by_band("hdu", hdu, files, True)
        self.tiles = [
            Tile(
                [
                    BandImage(
                        {role: maps[role][band][tile] for role in maps},
                        *(numbers[band][tile], zeros, points[band][tile], band),
                    )
                    for band in self.bands
                ],
                max(self.detection_band, 0),
                reproject,
                pixel_scale,
            )
            for tile in range(len(files[self.bands[0]]))
        ]

    @property
    def detection_band(self) -> int:
        """Number of the band that sources are detected in; -1 for the sum of several."""
        if len(self.bands) == 1:
            return 0
        return -1 if self.detect == SUM else self.bands.index(self.detect)

    def check(self) -> list[str]:
        """Check that the images fit together.

        Returns:
            Sentences about them for the user.

        Raises:
            GalgenError: if an image cannot be used, is given twice, or does not fit to the others.
        """
        first, notes = self.tiles[0].facts, []
        for number, tile in enumerate(self.tiles):
            facts = tile.facts
            notes += [tile.named(note, len(self.tiles)) for note in facts.notes]
            self._check_tile(number, first, facts)
        notes += self._different_filters()
        if len(self.tiles) > 1 and any(tile.facts.wcs is None for tile in self.tiles):
            notes.append(
                "not all tiles have a WCS: a galaxy that lies in two of them is taken for two"
            )
        planes = [image.facts.planes["image"] for tile in self.tiles for image in tile.images]
        refuse_twice(planes)
        return notes

    def _different_filters(self) -> list[str]:
        """Say in which bands the tiles have different filters in their headers."""
        notes = []
        for number in range(len(self.bands)):
            images = [tile.images[number] for tile in self.tiles]
            filters = [filter_of(image.facts.header) for image in images]
            found = different_filters(filters, "tiles")
            notes += [self.tiles[0].of_band(note, images[0]) for note in found]
        return notes

    def _check_tile(self, number: int, first, facts) -> None:
        """Refuse a tile in another unit than the first, or of another scale or zero point."""
        where = f"mosaic.{self.image_said}: tile {number} (from 0)"
        if facts.unit != first.unit:
            raise GalgenError(f"{where} is in {facts.unit}, the first in {first.unit}. Convert it.")
        if abs(facts.pixel_scale / first.pixel_scale - 1) > SAME:
            raise GalgenError(
                f"{where} has pixels of {facts.pixel_scale:.4f} arcsec, the first of "
                f"{first.pixel_scale:.4f}. Resample it."
            )
        for band, point, other in zip(
            facts.bands, facts.zero_points, first.zero_points, strict=True
        ):
            unlike = (point is None) != (other is None) or abs((point or 0) - (other or 0)) > SAME
            if unlike:
                raise GalgenError(
                    f"{where} has a zero point of {point} in {band}, the first of {other}. "
                    "Multiply its pixels so that one zero point holds for all tiles."
                )

    @property
    def planes(self) -> dict[str, Plane]:
        """The images and maps by role; the band and the number of the tile follow it."""
        return {
            role + self._suffix(tile, band): plane
            for tile, band, image in self._images
            for role, plane in image.facts.planes.items()
        }

    @property
    def paths(self) -> dict[str, Path]:
        """The files of the images, their maps and `catalogue`."""
        paths = {
            role + self._suffix(tile, band): path
            for tile, band, image in self._images
            for role, (path, _) in image.files.items()
        }
        if self.catalogue is not None:
            paths["catalogue"] = file_and_part(self.catalogue)[0]
        return paths

    @cached_property
    def hashes(self) -> dict[str, tuple[str, str]]:
        """Name and sha256 of the files of the images, their maps and `catalogue`."""
        paths = self.paths
        known: dict[Path, str] = {}
        for path in paths.values():
            known[path] = known.get(path) or sha256(path)
        return {name: (path.name, known[path]) for name, path in paths.items()}

    @property
    def _images(self) -> list[tuple[int, str, BandImage]]:
        return [
            (number, band, image)
            for number, tile in enumerate(self.tiles)
            for band, image in zip(self.bands, tile.images, strict=True)
        ]

    def _suffix(self, tile: int, band: str) -> str:
        return (f" {band}" if band else "") + (f" {tile}" if len(self.tiles) > 1 else "")


def _checked(zero_point):
    """Refuse zero points that are not numbers."""
    each = zero_point.values() if isinstance(zero_point, dict) else [zero_point]
    flat = [item for value in each for item in (value if isinstance(value, list) else [value])]
    for value in flat:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and np.isfinite(value)):
            raise ValueError(f"mosaic.zero_point={said(zero_point)}: {value} is not a number.")
    return zero_point
