"""The WCS of an image, and the size and shape of its pixels on the sky."""

import re
import warnings
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from galgen.errors import GalgenError

STEP = 4.0
"""Pixels over which the WCS is differenced."""
ALIKE = 0.01
"""Largest relative difference of the longest and the shortest axis of a square pixel."""


class NoWcs(GalgenError):
    """An image does not say where on the sky it is.

    Args:
        path: of the file.
        key: that gives it, without `mosaic.`.
    """

    def __init__(self, path: Path, key: str):
        super().__init__(
            f"mosaic.{key}={path}: it has no celestial WCS (CTYPE1, CRVAL1, ...). Add one to its "
            "header, or give mosaic.pixel_scale=<arcsec>; galaxies then have positions in pixels "
            "alone."
        )


def read_wcs(path: Path, header: fits.Header, hdus: fits.HDUList, key: str = "image") -> WCS:
    """Read the celestial WCS of an image.

    Args:
        path: of the file, for messages.
        header: of the extension.
        hdus: the opened file, which may hold tables of distortion.
        key: that gives the file, without `mosaic.`, for messages.

    Returns:
        The WCS of its two celestial axes.

    Raises:
        NoWcs: if there is none.
        GalgenError: if it cannot be used.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs = WCS(header, hdus)
            wcs = wcs if wcs.naxis == 2 else wcs.celestial
            celestial = wcs.has_celestial and isinstance(wcs.pixel_to_world(0, 0), SkyCoord)
    except Exception as error:  # wcslib has many
        raise GalgenError(
            f"mosaic.{key}={path}: its WCS is invalid ({error}). Correct the header."
        ) from error
    if not celestial:
        raise NoWcs(path, key)
    if not any(re.fullmatch(r"CDELT[12]|CD[12]_[12]|PC[12]_[12]", key) for key in header):
        raise GalgenError(
            f"mosaic.{key}={path}: its WCS has no pixel scale. Add CDELT1 and CDELT2, or the "
            "matrix CD1_1, CD1_2, CD2_1, CD2_2, to the header."
        )
    return wcs


def pixel_scale(
    path: Path, wcs: WCS, shape: tuple[int, int], key: str = "image"
) -> tuple[float, list[str]]:
    """Return the side of a pixel, arcsec, and a note on it.

    Args:
        path: of the file, for messages.
        wcs: of the image.
        shape: its height and width, px.
        key: that gives the file, without `mosaic.`, for messages.

    Returns:
        The square root of the area of the central pixel; sentences for the user.

    Raises:
        GalgenError: if the pixels are not square, by the local matrix of the WCS.
    """
    height, width = shape
    matrix = _local_matrix(wcs, (width - 1) / 2, (height - 1) / 2)
    if not np.isfinite(matrix).all() or np.linalg.det(matrix) == 0:
        raise GalgenError(
            f"mosaic.{key}={path}: its WCS gives no position for the centre of the image. "
            "Correct CRVAL, CRPIX and the matrix of the header."
        )
    longest, shortest = np.linalg.svd(matrix, compute_uv=False)
    scale = float(np.sqrt(longest * shortest))
    if longest / shortest > 1 + ALIKE:
        sides = np.linalg.norm(matrix, axis=0)
        cosine = matrix[:, 0] @ matrix[:, 1] / sides.prod()
        angle = np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
        raise GalgenError(
            f"mosaic.{key}={path}: its pixels are not square: {sides[0]:.4f} x {sides[1]:.4f} "
            f"arcsec at an angle of {angle:.2f} deg. Resample the image to square pixels."
        )
    matrices = [_local_matrix(wcs, x, y) for x, y in zip(*_corners(shape), strict=True)]
    axes = [np.linalg.svd(m, compute_uv=False) for m in matrices if np.isfinite(m).all()]
    ratios = np.array(axes).reshape(-1) / scale
    if np.all(np.abs(ratios - 1) <= ALIKE):
        return scale, []
    return scale, [
        f"the pixel scale is {scale:.4f} arcsec at the centre of the image and "
        f"{ratios.min() * scale:.4f} to {ratios.max() * scale:.4f} at its corners; sizes "
        "and surface brightnesses are computed with that of the centre"
    ]


def distance(wcs: WCS, other: WCS, shape: tuple[int, int]) -> float:
    """Return how far apart two WCS put the corners of an image, px; infinite where unknown."""
    x, y = _corners(shape)
    try:
        there = wcs.world_to_pixel(other.pixel_to_world(x, y))
    except Exception:  # beyond the projection, wcslib raises many
        return np.inf
    away = float(np.hypot(there[0] - x, there[1] - y).max())
    return away if np.isfinite(away) else np.inf


def _corners(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the corners of an image (4,)."""
    height, width = shape
    return np.array([0, 0, width - 1, width - 1]), np.array([0, height - 1, 0, height - 1])


def _local_matrix(wcs: WCS, x: float, y: float) -> np.ndarray:
    """Return the steps on the sky, east and north (2), of a pixel along x and y (2), arcsec."""
    steps = np.array([[-STEP, STEP, 0, 0], [0, 0, -STEP, STEP]])
    try:
        centre = wcs.pixel_to_world(x, y)
        around = wcs.pixel_to_world(x + steps[0], y + steps[1])
        offsets = np.array([o.to_value("arcsec") for o in centre.spherical_offsets_to(around)])
    except Exception:  # beyond the projection, wcslib raises many
        return np.full((2, 2), np.nan)
    return (offsets[:, 1::2] - offsets[:, ::2]) / (2 * STEP)
