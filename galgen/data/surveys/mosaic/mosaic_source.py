"""Stamps cut from a FITS mosaic, of the galaxies of a catalogue or of all that are detected."""

import json
from collections.abc import Sequence
from pathlib import Path

import astropy
import numpy as np
import photutils

from galgen.data.bands import band_names, check_there
from galgen.data.noise_correlation import correlation_of_filter
from galgen.data.surveys.mosaic import detection
from galgen.data.surveys.mosaic.cutting import GROW, Cutter
from galgen.data.surveys.mosaic.matching import counted_once, of_catalogue
from galgen.data.surveys.mosaic.mosaic import Mosaic
from galgen.data.surveys.mosaic.search import find_sources
from galgen.data.surveys.mosaic.source_table import SourceTable, read_catalogue
from galgen.data.surveys.photometry import zero_point_attrs
from galgen.data.surveys.source import Source
from galgen.errors import GalgenError

RECIPE = 3
"""Counts the changes of the recipe."""
SMALLEST, LARGEST = 1e-37, 1e33
"""Noise of images that numbers of 32 bits hold, sources above it included."""
INTERNAL = ("piece", "segment", "sky", "scatter", "scale", "deblended")
"""Columns that are needed to cut stamps, but not written to the stamp file."""
SINGLE = ("flux", "signal_to_noise", "magnitude")
"""Columns of bands that lose their axis where there is one band."""


class MosaicSource(Source):
    """Stamps of a mosaic, centred on detections to the nearest pixel, sky-subtracted.

    Noise fills the pixels that have no data, and those of other sources where neighbours=noise.
    It has the local variance and the correlation of the mosaic's noise, and is a function of the
    candidate's number. All bands are cut at one place, and measured in the aperture of the
    detection. A band without data at a galaxy is one that it has not.

    Args:
        mosaic: the mosaic.
        image_size: side of the stamps, px.
        bands: names of bands that the user wants; the mosaic must have them.
        **arguments: of `Source`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        mosaic: Mosaic,
        image_size: int,
        bands: str | Sequence[str] | None = None,
        **arguments,
    ):
        super().__init__(**arguments)
        if image_size < 1:
            raise ValueError(f"data.image_size={image_size}: it must be positive.")
        self.mosaic, self.image_size, self.bands = mosaic, image_size, band_names(bands)
        self._bands = len(mosaic.bands)
        self._cached: tuple[int, tuple] | None = None

    def inputs(self) -> list[Path]:
        """Return the user's files that the stamps are made of."""
        return list(self.mosaic.paths.values())

    def given(self) -> str:
        """Return the key and value that name the images."""
        return f"mosaic.{self.mosaic.image_said}"

    def __len__(self) -> int:
        return len(self._columns["piece"])

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_cached": None}

    def stamp_bytes(self) -> int:
        """Return about how many bytes a candidate takes in the file."""
        weighted = self._bands > 1 or self.mosaic.neighbours == "mask"
        return 4 * self.image_size**2 * self._bands * (1 + weighted)

    def open(self) -> None:
        """Detect the sources section by section, and find the catalogue's galaxies among them.

        Raises:
            GalgenError: if a file cannot be used, or there are no galaxies.
        """
        mosaic = self.mosaic
        self.notes = mosaic.check()
        check_there(self.bands or [], self._names, "the mosaic has")
        self._check_size()
        tiles = [tile.facts for tile in mosaic.tiles]
        placed = all(facts.wcs is not None for facts in tiles)
        catalogue, rows = self._read_catalogue(placed)
        places = [place for _, place in rows]
        found = find_sources(mosaic, max(detection.MARGIN, self.image_size // 2 + 2 * GROW), places)
        self.notes += found.notes
        self._sections = found.pieces
        self._cutter = Cutter(self.image_size, mosaic.neighbours, found.filters)
        columns = found.columns
        self._check_range(np.nanmedian(columns["scatter"], axis=0))
        if placed:
            columns |= self._positions(columns)
            if len(tiles) > 1:
                columns = counted_once(mosaic, columns, self.notes)
        n = len(columns["x"])
        columns |= {"galaxy_id": np.arange(n), "redshift": np.full(n, np.nan, np.float32)}
        columns["flux_radius"] = columns["flux_radius"] * tiles[0].pixel_scale
        points = [np.nan if point is None else point for point in tiles[0].zero_points]
        positive = np.where(columns["flux"] > 0, columns["flux"], np.nan)
        columns["magnitude"] = np.array(points) - 2.5 * np.log10(positive)
        self._reference = self._find_reference(columns["signal_to_noise"])
        if catalogue is None:
            self.notes.append(f"{n} sources detected")
        else:
            covered = [row[there] for (row, _), there in zip(rows, found.covered, strict=True)]
            covered = np.unique(np.concatenate(covered))
            columns = of_catalogue(mosaic, columns, catalogue, covered, self.notes)
        self._say_unmeasured(columns["flux"])
        self._columns = columns
        _ = mosaic.hashes  # here once, so that no other process reads the files for them

    def _check_size(self) -> None:
        for tile in self.mosaic.tiles:
            height, width = tile.facts.shape
            if self.image_size > min(height, width):
                raise GalgenError(
                    f"data.image_size={self.image_size}: the mosaic has only "
                    f"{width} x {height} px. Give a smaller size."
                )

    def _read_catalogue(
        self, placed: bool
    ) -> tuple[SourceTable | None, list[tuple[np.ndarray, np.ndarray]]]:
        """Read the catalogue, and find its rows in each tile with the pixels that they are in."""
        mosaic = self.mosaic
        if mosaic.catalogue is None:
            return None, [(np.empty(0, int), np.empty((2, 0), int)) for _ in mosaic.tiles]
        if not placed:
            raise GalgenError(
                f"mosaic.catalogue={mosaic.catalogue}: its galaxies cannot be found, because an "
                "image has no WCS. Add one to its header, or leave mosaic.catalogue out."
            )
        catalogue = read_catalogue(mosaic.catalogue, mosaic.columns)
        self.notes += catalogue.notes
        facts = [tile.facts for tile in mosaic.tiles]
        return catalogue, [catalogue.inside(each.wcs, each.shape) for each in facts]

    def _positions(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return `ra` and `dec` (deg, ICRS) of the detections (n,)."""
        ra, dec = np.empty(len(columns["x"])), np.empty(len(columns["x"]))
        for number, tile in enumerate(self.mosaic.tiles):
            here = columns["tile"] == number
            sky = tile.facts.wcs.pixel_to_world(columns["x"][here], columns["y"][here]).icrs
            ra[here], dec[here] = sky.ra.deg, sky.dec.deg
        return {"ra": ra, "dec": dec}

    def _check_range(self, noise: np.ndarray) -> None:
        """Refuse numbers that the pixels of stamps, of 32 bits, cannot hold."""
        for image, level in zip(self.mosaic.tiles[0].images, noise, strict=True):
            if not SMALLEST < level < LARGEST:
                raise GalgenError(
                    f"mosaic.{image.key('image')}={image.facts.planes['image'].path}: its noise is "
                    f"{level:.3g}, stamps hold {SMALLEST:g} to {LARGEST:g}. Give the image in "
                    "another unit."
                )

    def _find_reference(self, signal_to_noise: np.ndarray) -> int:
        """Return the number of the reference band: of detection, or of the clearest sources."""
        if self.mosaic.detection_band >= 0:
            return self.mosaic.detection_band
        reference = int(np.argmax(np.median(np.nan_to_num(signal_to_noise), axis=0)))
        unknown = None in self.mosaic.tiles[0].facts.zero_points
        scale = ", in units of their noise because a zero point is unknown" if unknown else ""
        self.notes.append(
            f"sources are detected in the noise-weighted sum of the bands{scale}; the reference is "
            f"{self.mosaic.bands[reference]}, of the highest median signal-to-noise. "
            "mosaic.detect=<band> detects in one band and makes it the reference"
        )
        return reference

    def _say_unmeasured(self, flux: np.ndarray) -> None:
        """Note how many galaxies have no flux in a band."""
        if self._bands == 1:
            return
        for band, unknown in zip(self.mosaic.bands, np.isnan(flux).sum(0), strict=True):
            if unknown:
                self.notes.append(
                    f"{unknown} of {len(flux)} galaxies have no flux in {band}: pixels of theirs "
                    "have no data there"
                )

    def attrs(self) -> dict:
        """Return the stamp file's attributes."""
        mosaic, facts = self.mosaic, self.mosaic.tiles[0].facts
        options = ("columns", "match_radius", "threshold", "min_pixels", "neighbours", "zeros")
        points = facts.zero_points
        recipe = {"source": "mosaic", "recipe": RECIPE, "image_size": self.image_size}
        recipe |= {"sha256": [sha256 for _, sha256 in mosaic.hashes.values()]}
        recipe |= {"extensions": {role: plane.number for role, plane in mosaic.planes.items()}}
        if self._bands == 1:
            recipe |= {"zero_point": points[0], "band": self._names[0]}
        else:
            recipe |= {"zero_points": points, "bands": self._names, "detect": mosaic.detect}
            recipe |= {"reproject": mosaic.reproject}
        recipe |= {name: getattr(mosaic, name) for name in options}
        if mosaic.pixel_scale is not None:
            recipe["pixel_scale"] = mosaic.pixel_scale
        versions = {"astropy": astropy, "numpy": np, "photutils": photutils}
        attrs = {
            "survey": "mosaic",
            "bands": self._names,
            "unit": facts.unit,
            "pixel_scale": facts.pixel_scale,
            "recipe": json.dumps(recipe),
            "source_files": json.dumps(self._source_files()),
            "versions": ", ".join(f"{name} {item.__version__}" for name, item in versions.items()),
        }
        attrs |= zero_point_attrs(points)
        attrs["noise_correlation"] = np.stack(
            list(map(correlation_of_filter, self._cutter.filters))
        )
        if self._bands > 1:
            attrs["reference_band"] = self._names[self._reference]
        return attrs

    @property
    def _names(self) -> list[str]:
        bands = self.mosaic.tiles[0].facts.bands
        return bands if self.mosaic.band is None else [self.mosaic.band]

    def _source_files(self) -> dict[str, str]:
        """Return the sha256 of each file by its name, or by its role where two names are equal."""
        hashes = self.mosaic.hashes
        names = [name for name, _ in set(hashes.values())]
        return {
            name if names.count(name) == 1 else f"{name} ({role})": sha256
            for role, (name, sha256) in hashes.items()
        }

    def draw(self, numbers: range) -> tuple[dict[str, np.ndarray], dict[int, str]]:
        """Cut the stamps of some candidates.

        Args:
            numbers: numbers of the candidates.

        Returns:
            `image` (n, B, H, W), in the mosaic's unit. With neighbours=mask or several bands
            `weight`, 1 or 0. Columns (n,): `galaxy_id`; `catalogue_id`, if that is not an integer;
            `ra`, `dec` (deg, ICRS), if there is a WCS; `x`, `y` (px, from 0); `tile`, if there are
            several; `redshift`; `flux_radius` (half-light in the image of detection, arcsec);
            `flag`, a sum of 1 (pixels without data), 2 (neighbours removed) and 4 (deblended).
            Columns (n, B): `flux` (in Kron's aperture of the detection), `magnitude` (AB),
            `signal_to_noise`; `noise_variance` (unit^2), `background` (square root of the noise's
            power at frequency zero); `has_band`, if there are several. The axis of one band is left
            out. Then the candidates without a stamp, with the reason.
        """
        drawn = {number: self._stamp(number) for number in numbers}
        reasons = {number: made for number, made in drawn.items() if isinstance(made, str)}
        stamps = {number: made for number, made in drawn.items() if number not in reasons}
        internal = (*INTERNAL, *(() if len(self.mosaic.tiles) > 1 else ("tile",)))
        names = [name for name in self._columns if name not in internal]
        arrays = {name: self._columns[name][list(stamps)] for name in names}
        several = self._bands > 1
        shape = (-1, self._bands, self.image_size, self.image_size)
        for name in ("image", "weight")[: 1 + (several or self.mosaic.neighbours == "mask")]:
            cubes = np.array([stamp[name] for stamp in stamps.values()], np.float32)
            arrays[name] = cubes.reshape(shape)
        for name, kind in {"noise_variance": float, "background": float, "has_band": "i1"}.items():
            values = np.array([stamp[name] for stamp in stamps.values()], kind)
            arrays[name] = values.reshape(-1, self._bands)
        arrays["flag"] = np.array([stamp["flag"] for stamp in stamps.values()], int)
        if several:
            return arrays, reasons
        del arrays["has_band"]
        of_bands = ("image", "weight", *SINGLE, "noise_variance", "background")
        return {
            name: values[:, 0] if name in of_bands else values for name, values in arrays.items()
        }, reasons

    def _stamp(self, number: int) -> dict | str:
        """Cut a stamp; if that fails, return the reason."""
        row = {name: values[number] for name, values in self._columns.items()}
        planes, segments = self._read(row["piece"])
        section = self._sections[row["piece"]].section
        centre = [round(float(row[c])) - s.start for c, s in zip("xy", section[::-1], strict=True)]
        return self._cutter.cut(planes, segments, centre, row, number)

    def _read(self, number: int) -> tuple[list, np.ndarray]:
        """Read pixels and noise of a piece in all bands, and its segments; the last one is kept."""
        if self._cached is None or self._cached[0] != number:
            piece = self._sections[number]
            planes = self.mosaic.tiles[piece.tile].read(piece.section)
            planes = [(data, noise) for data, noise, _ in planes]
            self._cached = number, (planes, piece.segment_map())
        return self._cached[1]
