"""FITS files of a mosaic: opened safely, each extension chosen by its role."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from astropy.io import fits

from galgen.config.wording import quoted
from galgen.errors import GalgenError
from galgen.files import check_file, expand, reading

ROLES = {
    "image": "sci science image data signal flux",
    "rms": "err error rms sigma noise std stddev unc uncert uncertainty",
    "weight": "wht weight wgt ivm ivar invvar inverse_variance",
    "mask": "dq mask flag flags bpm badpix quality bad",
}
"""Names of extensions by role, in lower case."""
OTHERS = {
    "variances": "variance var var_poisson var_rnoise var_flat",
    "counts of exposures": "con ctx context nexp exp exposure coverage",
}
"""Names of extensions that hold other maps."""
STRIP = 512
"""Rows that are read at a time."""


@dataclass(frozen=True)
class Plane:
    """One two-dimensional image of a FITS file."""

    role: str
    """One of ROLES."""
    path: Path
    number: int
    """Of the extension, from 0."""
    name: str
    """EXTNAME or EXTTYPE, or nothing."""
    shape: tuple[int, int]
    """Height and width, px."""
    integers: bool
    key: str
    """Of the config without `mosaic.`, for messages: `rms`, or `images.f606w`."""

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Read a section (H, W), float64; NaN where an image of integers is BLANK.

        Raises:
            GalgenError: if the file is damaged.
        """
        with opened(self.key, self.path) as hdus:
            hdu = hdus[self.number]
            leading = (0,) * (len(hdu.shape) - 2)
            if is_gzip(self.path):  # a piece of a row would be unpacked from the file's beginning
                data = hdu.section[(*leading, rows)][..., columns]
            else:
                data = hdu.section[(*leading, rows, columns)]
            return np.array(data, float)

    def strips(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Read the image in strips of rows, from the first to the last."""
        with opened(self.key, self.path) as hdus:
            hdu = hdus[self.number]
            leading = (0,) * (len(hdu.shape) - 2)
            for start in range(0, self.shape[0], STRIP):
                rows = slice(start, min(start + STRIP, self.shape[0]))
                yield rows, np.array(hdu.section[(*leading, rows)], float)


def is_gzip(path: Path) -> bool:
    """Tell whether a file is compressed by gzip."""
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def file_and_part(path: str | Path) -> tuple[Path, str | None]:
    """Split `file.fits[NAME]` into the file and the part of it; a file of that very name wins."""
    whole = expand(path)
    found = re.fullmatch(r"(.+?)\[([^\[\]]+)\]", str(path))
    if found is None or whole.exists():
        return whole, None
    return expand(found[1]), found[2].strip()


@contextmanager
def opened(key: str, path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file; whatever is wrong with it becomes a sentence."""
    check_file(f"mosaic.{key}={path}", path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", "File may have been truncated")
            with reading(f"mosaic.{key}={path}"), fits.open(path, memmap=False) as hdus:
                yield hdus
    except GalgenError:
        raise
    except Exception as error:  # damage shows in many ways
        raise GalgenError(
            f"mosaic.{key}={path}: this is no whole FITS file ({error}). Give the file, or fetch "
            "it again if it is damaged."
        ) from error


def choose(role: str, path: Path, wanted: int | str | None, key: str) -> Plane:
    """Find the image of a role in a file.

    Args:
        role: one of ROLES.
        path: FITS file.
        wanted: number or name of the extension, `SCI,2` too; chosen by EXTNAME where None.
        key: that gives the file, without `mosaic.`, for messages.

    Returns:
        The image.

    Raises:
        GalgenError: if there is none, if several could be meant, or if it is not two-dimensional.
    """
    with opened(key, path) as hdus:
        images = [i for i, item in enumerate(hdus) if item.is_image and item.shape]
        if not images:
            raise GalgenError(f"mosaic.{key}={path}: the file has no image. Give one that has.")
        # SDSS frames have a vector of calibrations beside the image.
        images = [i for i in images if len(hdus[i].shape) > 1] or images
        listed = ", ".join(_describe(i, hdus[i]) for i in images)
        if wanted is None:
            number = _by_role(role, path, hdus, images, listed, key)
        else:
            number = _by_name(hdus, wanted)
        if number not in images:
            raise GalgenError(
                f"mosaic.{key}={path}: the file has no image extension {wanted}. Give one "
                f"of {listed}."
            )
        hdu = hdus[number]
        if len(hdu.shape) < 2 or np.prod(hdu.shape[:-2], dtype=int) != 1:
            raise GalgenError(
                f"mosaic.{key}={path}: extension {number} has {len(hdu.shape)} axes, not 2. Give "
                f"another of {listed}, or save one plane of it."
            )
        integers = int(hdu.header["BITPIX"]) > 0
        return Plane(role, path, number, _name(hdu), tuple(hdu.shape[-2:]), integers, key)


def role_of(name: str) -> str | None:
    """Tell the role of an extension by its name, or which of OTHERS it is; None if neither."""
    names = {**ROLES, **OTHERS}
    return next((role for role in names if name.lower() in names[role].split()), None)


def _name(hdu: fits.ImageHDU) -> str:
    return hdu.name or str(hdu.header.get("EXTTYPE", "")).strip()


def _describe(number: int, hdu: fits.ImageHDU) -> str:
    return f"{number} ({_name(hdu) or 'unnamed'}, {' x '.join(map(str, hdu.shape[::-1]))})"


def _by_name(hdus: fits.HDUList, wanted: int | str) -> int | None:
    name, _, version = str(wanted).partition(",")
    name = name.strip()
    try:
        return hdus.index_of((name, int(version)) if version.strip() else name)
    except (KeyError, ValueError):
        named = [i for i, hdu in enumerate(hdus) if _name(hdu).upper() == name.upper() != ""]
        if len(named) == 1:
            return named[0]
        return int(name) if name.isdigit() and int(name) < len(hdus) else None


def _by_role(
    role: str, path: Path, hdus: fits.HDUList, images: list[int], listed: str, key: str
) -> int:
    roles = {i: role_of(_name(hdus[i])) for i in images}
    fitting = [i for i in images if roles[i] == role]
    unnamed = [i for i in images if roles[i] is None]
    found = fitting or unnamed
    if len(found) == 1:
        return found[0]
    if found:
        raise GalgenError(
            f"mosaic.{key}={path}: several extensions could be meant: {listed}. Give one of them, "
            f"mosaic.{key}={quoted(f'{path}[{found[0]}]')}."
        )
    other = roles[images[0]]
    only = len(images) == 1 and other in ROLES
    instead = f"Give mosaic.{other}={path}, or name" if only else "Name"
    raise GalgenError(
        f"mosaic.{key}={path}: no extension has a name of the {role} map "
        f"({', '.join(ROLES[role].split()[:3])}, ...): {listed}. {instead} one, "
        f"mosaic.{key}={quoted(f'{path}[{images[0]}]')}."
    )


def refuse_twice(planes: list[Plane]) -> None:
    """Refuse one image given for two keys, by whatever path, and copies of it.

    Args:
        planes: the images.

    Raises:
        GalgenError: if two of them are one.
    """
    for first, second in combinations(planes, 2):
        if first.path.samefile(second.path) and first.number == second.number:
            raise GalgenError(
                f"mosaic.{second.key}={second.path}: this is extension {second.number} "
                f"({second.name or 'unnamed'}), the same as mosaic.{first.key}. Give another "
                f"extension, mosaic.{second.key}={quoted(f'{second.path}[<name>]')}, or "
                "another file."
            )
        if first.shape == second.shape and _same_pixels(first, second):
            raise GalgenError(
                f"mosaic.{second.key}={second.path}: its pixels are those of mosaic.{first.key}, "
                f"{first.path}. Give the {second.role} of its own, or leave mosaic.{second.key} "
                "out."
            )


def _same_pixels(first: Plane, second: Plane) -> bool:
    """Return whether two images are equal; images of a single value do not count."""
    values: set[float] = set()
    for (_, one), (_, two) in zip(first.strips(), second.strips(), strict=True):
        if not np.array_equal(one, two, equal_nan=True):
            return False
        known = one[np.isfinite(one)]
        values |= {known.min(), known.max()} if known.size else set()
    return len(values) > 1
