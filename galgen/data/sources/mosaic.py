"""A FITS mosaic: its pixels in sections, its noise map, and what its headers say."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from galgen.data.sources import detection
from galgen.data.sources.catalogue import NAMES
from galgen.errors import GalgenError
from galgen.files import sha256

NEIGHBOURS = ("noise", "mask", "keep")
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
            band=self.band or _band(header),
            zero_point=point,
            extensions=extensions,
            notes=notes,
        )

    @cached_property
    def hashes(self) -> dict[str, tuple[str, str]]:
        """Name and sha256 of the files of `image`, `rms`, `weight` and `catalogue`."""
        paths = {name: path for name, (path, _) in self.images.items()}
        if self.catalogue is not None:
            paths["catalogue"] = self.catalogue
        hashes = {}
        for name, path in paths.items():
            hashes[name] = Path(path).name, sha256(Path(path))
        return hashes

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


def _band(header: fits.Header) -> str:
    filters = [str(header.get(key, "")).strip() for key in ("FILTER", "FILTER1", "FILTER2")]
    filters = [name for name in filters if name and not name.upper().startswith("CLEAR")]
    return filters[0] if filters else "unknown"


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
        with suppress(ValueError, u.UnitsError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # how the unit is written
            return float(-2.5 * np.log10((1 * u.Unit(unit) * area).to_value(u.AB))), "BUNIT"
    flam, plam = header.get("PHOTFLAM", 0), header.get("PHOTPLAM", 0)
    if flam > 0 and plam > 0 and unit.upper().endswith("/S"):
        return float(-2.5 * np.log10(flam) - 21.1 - 5 * np.log10(plam) + 18.6921), "PHOTFLAM"
    for key in ZERO_POINTS:
        value = header.get(key)
        if isinstance(value, float | int) and value > 0:  # HST's PHOTZPT is -21.1, of ST magnitudes
            return float(value), key
    return None, ""
