"""Several bands of a section: their noise-weighted sum, and each in the detection's apertures."""

import warnings
from dataclasses import dataclass

import numpy as np
from astropy.stats import mad_std
from photutils.segmentation import SegmentationImage, SourceCatalog

from galgen.data.surveys.mosaic import detection
from galgen.data.surveys.mosaic.detection import Detections, Section

LOST = 0.02
"""Share of a source's light at pixels that a band lacks, beyond which its flux is unknown there."""
OF_BANDS = ("flux", "signal_to_noise", "sky", "scatter", "scale")
"""Columns with a value for each band, (n, B)."""


@dataclass
class Sky:
    """The background of a section (H, W) in one band, in units of about its noise."""

    unit: float
    """In the image's unit."""
    level: np.ndarray
    scatter: np.ndarray
    is_sky: np.ndarray
    """Where there is nothing else."""


@dataclass
class BandDetections:
    """Sources of a section (H, W), n of which have their peak in its core, in B bands."""

    segments: np.ndarray
    """(H, W), int32: a number for each source of the section, 0 between them."""
    columns: dict[str, np.ndarray]
    """Those of `Detections`; (n, B) of OF_BANDS, NaN in a band without data. Empty where n is 0."""
    products: list[np.ndarray | float]
    """(B,): see `lagged_products`; 0 of a band without data."""
    scales: list[float]
    """(B,), noise of a pixel in units of the noise map; NaN of a band without data."""


def detect_in_bands(
    bands: list[tuple[np.ndarray, np.ndarray | None]],
    flux_of_one: list[float | None],
    chosen: int,
    threshold: float,
    min_pixels: int,
    core: Section,
) -> BandDetections | None:
    """Find the sources of a section in one band, or in the sum of all, and measure them in each.

    Args:
        bands: data and noise (H, W) of each, as `detect` takes them.
        flux_of_one: flux of one unit of each band on a common scale, (B,); None where unknown.
        chosen: number of the band of detection; -1 for the sum.
        threshold: in units of the noise.
        min_pixels: connected pixels above it that make a source.
        core: the core, as slices of the section.

    Returns:
        The sources, or None where too little is known of the background.
    """
    skies = [None if number == chosen else _sky(data) for number, (data, _) in enumerate(bands)]
    image = _weighted_sum(bands, skies, flux_of_one) if chosen < 0 else bands[chosen]
    found = None if image is None else detection.detect(*image, threshold, min_pixels, core)
    if found is None:
        return None
    measured = [
        found if number == chosen else _measure(*band, sky, found)
        for number, (band, sky) in enumerate(zip(bands, skies, strict=True))
    ]
    columns = dict(found.columns)
    if columns:
        columns |= {
            name: np.stack([part.columns[name] for part in measured], axis=1) for name in OF_BANDS
        }
    products, scales = ([getattr(p, name) for p in measured] for name in ("products", "scale"))
    return BandDetections(found.segments, columns, products, scales)


def _sky(data: np.ndarray) -> Sky | None:
    unit = detection.natural_unit(data)
    if unit is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = detection.background(data / unit)
    return None if found is None else Sky(unit, *found)


def _weighted_sum(
    bands: list[tuple[np.ndarray, np.ndarray | None]],
    skies: list[Sky | None],
    flux_of_one: list[float | None],
) -> tuple[np.ndarray, np.ndarray] | None:
    """Average the bands with the weight 1 / noise^2, of fluxes on a common scale.

    Where some zero point is unknown, that scale is the noise of each band.

    Returns:
        The average and its noise (H, W), NaN where no band has data; None if none has a background.
    """
    total, weights = 0.0, 0.0
    scaled = None not in flux_of_one
    for (data, noise), sky, flux in zip(bands, skies, flux_of_one, strict=True):
        if sky is None:
            continue
        values = data / sky.unit - sky.level
        sigma = sky.scatter if noise is None else noise / sky.unit
        factor = flux * sky.unit if scaled else 1 / np.nanmedian(sigma[np.isfinite(data)])
        known = np.isfinite(values) & np.isfinite(sigma) & (sigma > 0)
        weight = np.divide(1, (factor * sigma) ** 2, out=np.zeros(data.shape), where=known)
        total = total + np.where(known, values * factor, 0) * weight
        weights = weights + weight
    if not np.any(weights):
        return None
    known = weights > 0
    average = np.divide(total, weights, out=np.full(known.shape, np.nan), where=known)
    return average, np.where(known, 1 / np.sqrt(np.where(known, weights, 1)), np.nan)


def _measure(
    data: np.ndarray, noise: np.ndarray | None, sky: Sky | None, found: Detections
) -> Detections:
    """Measure the sources of a detection in another band, in the same apertures."""
    n = len(found.columns["segment"]) if found.columns else 0
    nothing = Detections(found.segments, dict.fromkeys(OF_BANDS, np.full(n, np.nan)), 0.0, np.nan)
    if sky is None:
        return nothing
    image = data / sky.unit - sky.level
    noise = sky.scatter if noise is None else noise / sky.unit
    is_sky = sky.is_sky & (found.segments == 0)
    scale = float(mad_std((image / noise)[is_sky])) if is_sky.any() else 0.0
    if not scale > 0:
        return nothing
    products = detection.lagged_products(np.where(is_sky, image / (scale * noise), np.nan))
    if not n:
        return Detections(found.segments, {}, products, scale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sources without data
        _ = found.catalogue.kron_aperture  # kept, for all bands
        segments = SegmentationImage(found.segments)
        catalogue = SourceCatalog(image, segments, error=noise, detection_catalog=found.catalogue)
        flux, error = detection.fluxes(catalogue[found.owned], found.catalogue[found.owned])
    flux = np.where(_lost(found, np.isnan(image)) <= LOST, flux, np.nan)
    pixel = np.rint(found.columns["y"]).astype(int), np.rint(found.columns["x"]).astype(int)
    columns = {"flux": flux * sky.unit, "signal_to_noise": flux / error}
    columns |= {"sky": sky.level[pixel] * sky.unit, "scatter": sky.scatter[pixel] * sky.unit}
    return Detections(found.segments, {**columns, "scale": np.full(n, scale)}, products, scale)


def _lost(found: Detections, missing: np.ndarray) -> np.ndarray:
    """Return the share of each source's light, as detected, at pixels that a band lacks, (n,)."""
    numbers, size = found.segments.ravel(), found.segments.max() + 1
    positive = np.nan_to_num(found.light).clip(0).ravel()
    whole = np.bincount(numbers, positive, size)
    lost = np.bincount(numbers, positive * missing.ravel(), size)
    chosen = found.columns["segment"]
    return lost[chosen] / np.maximum(whole[chosen], np.finfo(float).tiny)
