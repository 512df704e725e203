"""The noise of a survey, which the scales of a training follow from."""

import numpy as np

from galgen.data.edges import edge_pixels
from galgen.data.stamp_file import StampFile
from galgen.errors import GalgenError

FAINT = 0.003
"""Share of a typical galaxy's peak below which nothing is of interest."""
LOOKED_AT = 1024
"""Stamps that are measured."""


def noise_level(stamps: StampFile, rows: np.ndarray, size: int) -> np.ndarray:
    """Return the typical noise of a pixel in each band, (B,), in the stamp file's unit.

    It is the median over the catalogue's noise or, where less than half of that is known, over the
    scatter of each stamp's outermost pixels. It is at least 0.3 % of the median peak of stamps that
    hold light, which is what images without noise get. Pixels of weight 0 do not count.

    Args:
        stamps: the stamp file.
        rows: of the training part, (N,).
        size: side of the crop, px.

    Raises:
        GalgenError: if no stamp holds light in a band.
    """
    images = stamps.read(rows[:LOOKED_AT], size).astype(float)
    counted = np.ones(images.shape, bool)
    if "weight" in stamps.stacks:
        counted = stamps.read(rows[:LOOKED_AT], size, "weight") > 0
    unknown = np.full((len(stamps), len(stamps.bands)), np.nan)
    variance, has_band = stamps.columns.get("noise_variance", unknown), stamps.has_band[rows]
    variance = np.where(has_band, variance[rows].astype(float), np.nan)
    levels = []
    for number, band in enumerate(stamps.bands):
        known = variance[has_band[:, number], number]
        level = _level(images[:, number], counted[:, number], known)
        if level is None:
            where = f" in the band {band}" if len(stamps.bands) > 1 else ""
            raise GalgenError(
                f"{stamps.path}: its stamps hold no light{where}, so there is nothing to learn."
            )
        levels.append(level)
    return np.array(levels)


def _level(images: np.ndarray, counted: np.ndarray, variance: np.ndarray) -> float | None:
    """Return the typical noise of one band; None where no stamp holds light.

    Args:
        images: (n, H, W).
        counted: which pixels count, (n, H, W).
        variance: of the noise by the catalogue, (N,), NaN where unknown.
    """
    peaks = images.max(axis=(1, 2), where=counted, initial=0)
    if not (peaks > 0).any():
        return None
    faint = FAINT * float(np.median(peaks[peaks > 0]))
    known = np.isfinite(variance) & (variance > 0)
    if 2 * known.sum() >= len(variance):
        return max(faint, float(np.median(np.sqrt(variance[known]))))
    edge = np.where(edge_pixels(counted), edge_pixels(images), np.nan)
    edge = edge[np.isfinite(edge).any(axis=1)]
    away = np.abs(edge - np.nanmedian(edge, axis=1, keepdims=True))
    return max(faint, 1.4826 * float(np.nanmedian(away)))
