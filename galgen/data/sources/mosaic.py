"""Stamps cut from a FITS mosaic, of the galaxies of a catalogue or of all that are detected."""

import hashlib
import json
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import astropy
import astropy.units as u
import numpy as np
import photutils
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from rich.progress import track
from skimage.segmentation import expand_labels

from galgen.data.sources import detection
from galgen.data.sources.catalogue import NAMES, Catalogue, match, read_catalogue
from galgen.data.sources.source import Source
from galgen.errors import GalgenError

RECIPE = 1
"""Counts the changes of the recipe."""
NEIGHBOURS = ("noise", "mask", "keep")
GROW = 4
"""Pixels around a neighbour that go with it: its light below the threshold."""
INTERNAL = ("tile", "segment", "sky", "scatter", "deblended")
"""Columns that stamps are cut by, and that the stamp file does not have."""
BORDER, NEIGHBOUR, DEBLENDED = 1, 2, 4
"""Bits of the column `flag`."""
ZERO_POINTS = ("ABMAGZP", "ABZP", "ZPAB", "MAGZERO", "ZEROPNT", "PHOTZP", "PHOTZPT", "MAGZPT")
"""Keywords of the AB magnitude of one unit."""


@dataclass
class Facts:
    """What the headers of a mosaic say."""

    shape: tuple[int, int]
    """Height and width, px."""
    wcs: WCS
    pixel_scale: float
    """arcsec"""
    unit: str
    band: str
    zero_point: float | None
    """AB magnitude of one unit."""
    extensions: dict[str, int]
    """Number of the extension of the image and of its noise map."""
    notes: list[str]


class Mosaic:
    """A FITS image of the sky, with its noise map and its catalogue; read in sections.

    Pixels have no data where they are NaN, exactly 0 in an image of floating-point numbers, or
    without a positive noise or weight.

    Args:
        image: FITS file, compressed by fpack or gzip or not.
        hdu: number or name of the extension; the first that holds an image where None.
        rms: FITS file of the noise of each pixel, in the image's unit; `file.fits[ERR]` names an
            extension.
        weight: FITS file of 1 / noise^2 of each pixel, in the same way.
        zero_point: AB magnitude of one unit; from the header where None.
        band: name of the filter; from the header where None.
        catalogue: table of galaxies; all detected sources are galaxies where None.
        columns: names of its columns `ra`, `dec`, `redshift`, `id`, where they cannot be told.
        match_radius: largest distance of a galaxy from its detection, arcsec.
        threshold: of detection, in units of the noise.
        min_pixels: connected pixels above it that make a source.
        neighbours: what becomes of other sources in a stamp: `noise` replaces them, `mask` sets
            them to 0 and gives weights, `keep` leaves them.

    Raises:
        ValueError: if an argument is out of range.
        GalgenError: if both rms and weight are given.
    """

    def __init__(
        self,
        image: str | Path,
        hdu: int | str | None = None,
        rms: str | Path | None = None,
        weight: str | Path | None = None,
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
                raise ValueError(f"mosaic.{name} is {value}, it must be positive")
        if neighbours not in NEIGHBOURS:
            raise ValueError(
                f"mosaic.neighbours is {neighbours}, not one of {', '.join(NEIGHBOURS)}"
            )
        for name in columns or {}:
            if name not in NAMES:
                raise ValueError(f"mosaic.columns.{name} is not one of {', '.join(NAMES)}")
        if rms is not None and weight is not None:
            raise GalgenError("mosaic.rms and mosaic.weight are both given; give one of them")
        self.images = {"image": (str(image), hdu)}
        for name, path in {"rms": rms, "weight": weight}.items():
            if path is not None:
                self.images[name] = re.fullmatch(r"(.*?)(?:\[(.+)\])?", str(path)).groups()
        self.zero_point, self.band = zero_point, band
        self.catalogue, self.columns, self.match_radius = catalogue, columns or {}, match_radius
        self.threshold, self.min_pixels, self.neighbours = threshold, min_pixels, neighbours

    @cached_property
    def facts(self) -> Facts:
        """What the headers say.

        Raises:
            GalgenError: if a file cannot be read or does not hold a two-dimensional image, or the
                image has no celestial WCS of square pixels.
        """
        shapes, extensions = {}, {}
        for name, (path, hdu) in self.images.items():
            with _fits(name, path) as hdus:
                extensions[name] = _extension(name, path, hdus, hdu)
                found = hdus[extensions[name]]
                shapes[name] = found.shape
                if name == "image":
                    wcs = _wcs(path, found.header, hdus)
                    header = found.header.copy()
                    header.extend(hdus[0].header, unique=True)  # HST and JWST have the filter there
        for name, (height, width) in shapes.items():
            if (height, width) != shapes["image"]:
                raise GalgenError(
                    f"mosaic.{name}: {self.images[name][0]} has {width} x {height} px, the image "
                    f"{shapes['image'][1]} x {shapes['image'][0]}; give the map of the same pixels"
                )
        pixel_scale = _pixel_scale(self.images["image"][0], wcs)
        filters = [str(header.get(key, "")).strip() for key in ("FILTER", "FILTER1", "FILTER2")]
        filters = [name for name in filters if name and not name.upper().startswith("CLEAR")]
        point, notes = self.zero_point, []
        if point is None:
            point, keyword = zero_point(header, pixel_scale)
            notes.append(
                f"zero point {point:.4f} mag (AB), from the header's {keyword}"
                if keyword
                else "the header has no zero point, magnitudes are NaN; give mosaic.zero_point"
            )
        return Facts(
            shape=shapes["image"],
            wcs=wcs,
            pixel_scale=pixel_scale,
            unit=str(header.get("BUNIT", "")).strip() or "unknown",
            band=self.band or (filters[0] if filters else "unknown"),
            zero_point=point,
            extensions=extensions,
            notes=notes,
        )

    def read(self, section: detection.Section) -> tuple[np.ndarray, np.ndarray | None]:
        """Read a section of the image and of its noise map.

        Args:
            section: slices of the image.

        Returns:
            Pixels (H, W), float32, NaN where there are no data; and their noise in the same way,
            or None where there is no map.

        Raises:
            GalgenError: if a file is damaged.
        """
        data, noise = self._read("image", section), None
        if "rms" in self.images:
            noise = self._read("rms", section)
            noise[~(noise > 0)] = np.nan
        if "weight" in self.images:
            weight = self._read("weight", section)
            noise = 1 / np.sqrt(np.where(weight > 0, weight, np.nan))
        if noise is not None:
            data[np.isnan(noise)] = np.nan
            noise[np.isnan(data)] = np.nan
        return data, noise

    def _read(self, name: str, section: detection.Section) -> np.ndarray:
        path, (rows, columns) = self.images[name][0], section
        with _fits(name, path) as hdus:
            hdu = hdus[self.facts.extensions[name]]
            if _is_gzip(path):  # which would be unpacked from its beginning for each piece of a row
                data = np.array(hdu.section[rows][:, columns], np.float32)
            else:
                data = np.array(hdu.section[rows, columns], np.float32)
            floating = hdu.header["BITPIX"] < 0
        data[~np.isfinite(data) | (floating & (data == 0))] = np.nan
        return data


def _is_gzip(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


@contextmanager
def _fits(name: str, path: str) -> Iterator[fits.HDUList]:
    """Open a FITS file; whatever is wrong with it becomes a sentence."""
    if not Path(path).is_file():
        raise GalgenError(f"mosaic.{name}: there is no file {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", "File may have been truncated")
            with fits.open(path, memmap=False) as hdus:
                yield hdus
    except GalgenError:
        raise
    except Exception as error:  # damage shows in many ways
        raise GalgenError(
            f"mosaic.{name}: {path} cannot be read as FITS, it is damaged, truncated or of another "
            f"format ({error})"
        ) from error


def _extension(name: str, path: str, hdus: fits.HDUList, hdu: int | str | None) -> int:
    """Return the number of the extension that holds the image."""
    images = [i for i, item in enumerate(hdus) if item.is_image and item.shape]
    listed = ", ".join(
        f"{i} ({hdus[i].name or 'unnamed'}, {' x '.join(map(str, hdus[i].shape[::-1]))})"
        for i in images
    )
    if not images:
        raise GalgenError(f"mosaic.{name}: {path} holds no image")
    try:
        index = images[0] if hdu is None else hdus.index_of(hdu)
    except KeyError:
        index = int(hdu) if hdu.isdigit() else None
    if index not in images:
        raise GalgenError(f"mosaic.{name}: {path} has no image extension {hdu}; it has {listed}")
    if len(hdus[index].shape) != 2:
        raise GalgenError(
            f"mosaic.{name}: extension {index} of {path} has {len(hdus[index].shape)} axes, not 2; "
            f"name another of {listed}, or save one plane of it"
        )
    return index


def _wcs(path: str, header: fits.Header, hdus: fits.HDUList) -> WCS:
    try:
        wcs = WCS(header, hdus)
        wcs = wcs if wcs.naxis == 2 else wcs.celestial
        celestial = wcs.has_celestial and isinstance(wcs.pixel_to_world(0, 0), SkyCoord)
    except Exception as error:  # wcslib has many
        raise GalgenError(f"mosaic.image: the WCS of {path} is invalid: {error}") from error
    if not celestial:
        raise GalgenError(
            f"mosaic.image: {path} has no celestial WCS (CTYPE1, CRVAL1, ...); add it to the header"
        )
    return wcs


def _pixel_scale(path: str, wcs: WCS) -> float:
    """Return the side of a pixel, arcsec."""
    width, height = proj_plane_pixel_scales(wcs) * 3600
    if abs(width / height - 1) > 0.01:
        raise GalgenError(
            f"mosaic.image: pixels of {path} are not square, {width:.4f} x {height:.4f} arcsec; "
            "resample it"
        )
    return float(np.sqrt(width * height))


def zero_point(header: fits.Header, pixel_scale: float) -> tuple[float | None, str]:
    """Find the AB magnitude of one unit of an image.

    BUNIT gives it where it is a flux density, by pixel or by solid angle; PHOTFLAM and PHOTPLAM
    give it in images of HST per second (ACS Data Handbook, section 5.1); else one of ZERO_POINTS.

    Args:
        header: of the image.
        pixel_scale: arcsec.

    Returns:
        The magnitude, None where the header does not say, and the keyword that it is from.
    """
    unit = str(header.get("BUNIT", ""))
    for area in (1, (pixel_scale * u.arcsec) ** 2):
        with suppress(ValueError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # how the unit is written
            return float((1 * u.Unit(unit) * area).to_value(u.ABmag)), "BUNIT"
    flam, plam = header.get("PHOTFLAM", 0), header.get("PHOTPLAM", 0)
    if flam > 0 and plam > 0 and unit.upper().endswith("/S"):
        return float(-2.5 * np.log10(flam) - 21.1 - 5 * np.log10(plam) + 18.6921), "PHOTFLAM"
    for key in ZERO_POINTS:
        value = header.get(key)
        if isinstance(value, float | int) and value > 0:  # HST's PHOTZPT is -21.1, of ST magnitudes
            return float(value), key
    return None, ""


class MosaicSource(Source):
    """Stamps of a mosaic, centred on detections to the nearest pixel, sky-subtracted.

    Pixels without data, and those of other sources where these are to be replaced, hold noise of
    the local variance and of the correlation that the mosaic's noise has. It depends on the number
    of the candidate alone.

    Args:
        mosaic: the mosaic.
        image_size: side of the stamps, px.
        **arguments: of `Source`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, mosaic: Mosaic, image_size: int, **arguments):
        super().__init__(**arguments)
        if image_size < 1:
            raise ValueError(f"prepare.image_size is {image_size}, it must be positive")
        self.mosaic, self.image_size = mosaic, image_size
        self._cached: tuple[int, tuple] | None = None

    def __len__(self) -> int:
        return len(self._columns["tile"])

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_cached": None}

    def open(self) -> None:
        """Detect the sources tile by tile, and find the catalogue's galaxies among them.

        Raises:
            GalgenError: if a file is not as it should be, or there are no galaxies.
        """
        mosaic, facts = self.mosaic, self.mosaic.facts
        if self.image_size > min(facts.shape):
            raise GalgenError(
                f"data.image_size is {self.image_size}, but the mosaic has only "
                f"{facts.shape[1]} x {facts.shape[0]} px"
            )
        self.notes = list(facts.notes)
        catalogue, rows, places = None, None, np.empty((2, 0), int)
        if mosaic.catalogue is not None:
            catalogue = read_catalogue(mosaic.catalogue, mosaic.columns)
            self.notes += catalogue.notes
            rows, places = catalogue.inside(facts.wcs, facts.shape)
        columns, covered = self._detect(places)
        sky = facts.wcs.pixel_to_world(columns["x"], columns["y"]).icrs
        columns |= {"ra": sky.ra.deg, "dec": sky.dec.deg, "galaxy_id": np.arange(len(sky))}
        columns["redshift"] = np.full(len(sky), np.nan, np.float32)
        columns["flux_radius"] = columns["flux_radius"] * facts.pixel_scale
        point = np.nan if facts.zero_point is None else facts.zero_point
        positive = np.where(columns["flux"] > 0, columns["flux"], np.nan)
        columns["magnitude"] = point - 2.5 * np.log10(positive)
        if catalogue is None:
            self.notes.append(f"{len(sky)} sources detected")
        else:
            columns = self._match(columns, catalogue, rows[covered])
        self._columns = columns

    def _detect(self, places: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Find the sources of all tiles, and tell which of some pixels (2, M) have data."""
        mosaic, facts = self.mosaic, self.mosaic.facts
        margin = max(detection.MARGIN, self.image_size // 2 + 2 * GROW)
        self._tiles = detection.tiles(facts.shape, margin)
        self._segments, parts, products, scales, values = [], [], [], [], set()
        covered = np.zeros(places.shape[1], bool)
        for number, (tile, section) in enumerate(track(self._tiles, description="detecting")):
            data, noise = mosaic.read(section)
            known = data[~np.isnan(data)]
            values |= {known.min(), known.max()} if known.size else set()
            (y, x), inner = detection.relative(tile, section)
            here = detection.inside(places, tile)
            covered[here] = ~np.isnan(data[places[0, here] - y, places[1, here] - x])
            found = detection.detect(data, noise, mosaic.threshold, mosaic.min_pixels, inner)
            self._segments.append(zlib.compress(found.segments, 1) if found else b"")
            if found:
                products.append(found.products)
                scales.append(found.scale)
            if found and found.columns:
                found.columns["x"] += x
                found.columns["y"] += y
                parts.append({**found.columns, "tile": np.full(len(found.columns["x"]), number)})
        path = mosaic.images["image"][0]
        if not scales:
            reason = "too few pixels with data" if len(values) > 1 else "no data but one value"
            reason = reason if values else "no data, its pixels are NaN or 0"
            raise GalgenError(f"mosaic.image: {path} has {reason}")
        if not parts:
            raise GalgenError(
                f"mosaic.image: no source of {path} has {mosaic.min_pixels} pixels above "
                f"{mosaic.threshold} times the noise; lower mosaic.threshold or mosaic.min_pixels"
            )
        if abs(np.median(scales) - 1) > 0.2:
            self.notes.append(
                f"the noise between the sources is {np.median(scales):.2f} times that of the noise "
                "map; in resampled mosaics, the noise of neighbouring pixels is correlated"
            )
        self._filter = detection.noise_filter(np.sum(products, 0))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, covered

    def _match(
        self, columns: dict[str, np.ndarray], catalogue: Catalogue, rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Keep the detections of the galaxies of some rows, with redshifts and identifiers."""
        mosaic = self.mosaic
        entry, detected = match(
            SkyCoord(catalogue.ra[rows], catalogue.dec[rows], unit="deg"),
            SkyCoord(columns["ra"], columns["dec"], unit="deg"),
            mosaic.match_radius,
        )
        if not len(entry):
            place = SkyCoord(columns["ra"][:1], columns["dec"][:1], unit="deg").to_string()[0]
            raise GalgenError(
                f"mosaic.catalogue: none of the {len(catalogue.ra)} galaxies of {mosaic.catalogue} "
                f"is within {mosaic.match_radius} arcsec of a source ({len(rows)} of them are in "
                f"the image, which has a source at RA, Dec = {place}); check the catalogue's "
                "columns and the WCS, or raise mosaic.match_radius"
            )
        missed = np.delete(rows, entry)
        self.notes.append(
            f"{len(columns['x'])} sources detected, {len(entry)} of the catalogue's {len(rows)} "
            f"galaxies in the image matched within {mosaic.match_radius} arcsec; "
            f"{len(catalogue.ra) - len(rows)} lie outside of it"
        )
        if len(missed):
            self.notes.append(
                f"{len(missed)} catalogue entries have no detection (mosaic.threshold and "
                f"mosaic.min_pixels say how faint it may be): ids {catalogue.named(missed)}"
            )
        order = np.argsort(detected)  # by tile
        rows = rows[entry[order]]
        columns = {name: values[detected[order]] for name, values in columns.items()}
        columns["redshift"] = catalogue.redshift[rows].astype(np.float32)
        columns["galaxy_id"] = np.arange(len(rows))
        if catalogue.galaxy_id is not None:
            columns["galaxy_id"] = catalogue.galaxy_id[rows]
        if catalogue.catalogue_id is not None:
            columns["catalogue_id"] = catalogue.catalogue_id[rows]
        return columns

    def attrs(self) -> dict:
        """Return the stamp file's attributes."""
        mosaic, facts = self.mosaic, self.mosaic.facts
        paths = {name: path for name, (path, _) in mosaic.images.items()}
        if mosaic.catalogue is not None:
            paths["catalogue"] = mosaic.catalogue
        hashes = {}
        for name, path in paths.items():
            with open(path, "rb") as file:
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
        options = ("columns", "match_radius", "threshold", "min_pixels", "neighbours")
        recipe = {"source": "mosaic", "recipe": RECIPE, "image_size": self.image_size}
        recipe |= {"sha256": hashes, "extensions": facts.extensions}
        recipe |= {"zero_point": facts.zero_point, "band": facts.band}
        recipe |= {name: getattr(mosaic, name) for name in options}
        versions = {"astropy": astropy, "numpy": np, "photutils": photutils}
        return {
            "survey": "mosaic",
            "band": facts.band,
            "unit": facts.unit,
            "pixel_scale": facts.pixel_scale,
            **({} if facts.zero_point is None else {"zero_point": facts.zero_point}),
            "recipe": json.dumps(recipe),
            "source_files": json.dumps({Path(paths[name]).name: hashes[name] for name in paths}),
            "versions": ", ".join(f"{name} {item.__version__}" for name, item in versions.items()),
        }

    def draw(self, numbers: range) -> tuple[dict[str, np.ndarray], dict[int, str]]:
        """Cut the stamps of some candidates.

        Args:
            numbers: numbers of the candidates.

        Returns:
            `image` (n, H, W), in the mosaic's unit, and with neighbours=mask `weight`, 1 or 0.
            Columns (n,): `galaxy_id`; `catalogue_id`, where that is no integer; `ra`, `dec` (deg,
            ICRS); `x`, `y` (px, from 0); `redshift`; `flux` (Kron's), `magnitude` (AB),
            `flux_radius` (half-light, arcsec), `signal_to_noise`; `noise_variance` (unit^2),
            `background` (its square root); `flag`, a sum of 1 (pixels without data), 2 (neighbours
            taken away) and 4 (deblended). Then the candidates without a stamp, with the reason.
        """
        drawn = {number: self._stamp(number) for number in numbers}
        reasons = {number: made for number, made in drawn.items() if isinstance(made, str)}
        stamps = {number: made for number, made in drawn.items() if number not in reasons}
        names = [name for name in self._columns if name not in INTERNAL]
        arrays = {name: self._columns[name][list(stamps)] for name in names}
        for name in ("image", "weight")[: 1 + (self.mosaic.neighbours == "mask")]:
            cubes = np.array([stamp[name] for stamp in stamps.values()], np.float32)
            arrays[name] = cubes.reshape(-1, self.image_size, self.image_size)
        for name, kind in {"noise_variance": float, "background": float, "flag": int}.items():
            arrays[name] = np.array([stamp[name] for stamp in stamps.values()], kind)
        return arrays, reasons

    def _stamp(self, number: int) -> dict | str:
        """Cut a stamp, or say why there is none."""
        row = {name: values[number] for name, values in self._columns.items()}
        data, noise, segments = self._tile(row["tile"])
        section = self._tiles[row["tile"]][1]
        centre = [round(float(row[c])) - s.start for c, s in zip("xy", section[::-1], strict=True)]

        def cut(array: np.ndarray, fill: float, size: int = self.image_size) -> np.ndarray:
            return Cutout2D(array, centre, size, mode="partial", fill_value=fill).data

        image = cut(data, np.nan) - row["sky"]
        missing = np.isnan(image)
        if len(np.unique(image[~missing])) < 2:
            return "its pixels hold no data but one value"
        near = expand_labels(cut(segments, 0, self.image_size + 2 * GROW), GROW)
        near = near[GROW:-GROW, GROW:-GROW]
        others = (near != 0) & (near != row["segment"]) & ~missing
        neighbours = self.mosaic.neighbours
        rng = np.random.default_rng(number)
        fill = detection.draw_noise(self._filter, self.image_size, rng) * row["scatter"]
        image = np.where(missing | (others if neighbours == "noise" else False), fill, image)
        if neighbours == "mask":
            image[others] = 0
        changed = neighbours != "keep" and others.any()
        level = row["scatter"] if noise is None else np.nanmedian(cut(noise, np.nan))
        return {
            "image": image,
            "weight": ~(missing | others),
            "noise_variance": level**2,
            "background": level,
            "flag": BORDER * missing.any() + NEIGHBOUR * changed + DEBLENDED * row["deblended"],
        }

    def _tile(self, number: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Read pixels, noise and segments of a tile; the last one is kept."""
        if self._cached is None or self._cached[0] != number:
            data, noise = self.mosaic.read(self._tiles[number][1])
            segments = np.frombuffer(zlib.decompress(self._segments[number]), np.int32)
            self._cached = number, (data, noise, segments.reshape(data.shape))
        return self._cached[1]
