"""Sources in sections of an image: background, detection, deblending, photometry, noise."""

import warnings
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from astropy.convolution import convolve
from astropy.stats import mad_std
from photutils.background import Background2D, MeanBackground, SExtractorBackground
from photutils.segmentation import (
    SegmentationImage,
    SourceCatalog,
    deblend_sources,
    detect_sources,
    make_2dgaussian_kernel,
)
from scipy import fft
from scipy.signal import fftconvolve

CORE = 2048
"""Largest side of the core of a section, px."""
MARGIN = 128
"""Pixels around a core that are read with it, at least, so that its sources are whole."""
BOX = 128
"""Side of the boxes of the background, px."""
KERNEL_FWHM = 3.0
"""Width of the Gaussian that smooths the image for detection, px."""
COARSE = 0.1
"""Share of pixels of the median's value, beyond which the image is of few distinct values."""
CONTRAST = 0.005
"""Share of the flux that makes a peak a source of its own, SourceExtractor's default."""
PEAK = 9
"""Pixels that such a peak must have; few, so that a bright source does not swallow faint ones."""
LAGS = 8
"""Distance up to which the correlation of the noise is measured, px."""

Section = tuple[slice, slice]


@dataclass
class Detections:
    """Sources of a section (H, W) of an image, n of which have their peak in its core."""

    segments: np.ndarray
    """(H, W), int32: a number for each source of the section, 0 between them."""
    columns: dict[str, np.ndarray]
    """(n,) each: `segment` (number); `x`, `y` (px of the section, from 0); `sky` (background),
    `scatter` (noise of a pixel) and `flux`, in the image's unit; `signal_to_noise`; `flux_radius`
    (half-light, px); `deblended` (0 or 1). Empty where n is 0."""
    products: np.ndarray
    """(2, 2 LAGS + 1, 2 LAGS + 1): see `lagged_products`, of the noise of variance 1."""
    scale: float
    """Noise of a pixel as measured, in units of the noise map."""
    light: np.ndarray | None = None
    """(H, W), the image without its background, in units of about its noise."""
    catalogue: SourceCatalog | None = None
    """Of all the section's sources, whose apertures other bands can be measured in."""
    owned: np.ndarray | None = None
    """Which of them have their peak in the core."""


def sections(shape: tuple[int, int], margin: int) -> list[tuple[Section, Section]]:
    """Cut an image into sections that overlap, with cores that do not.

    Args:
        shape: height and width of the image, px.
        margin: pixels around each core that belong to its section.

    Returns:
        Each core and its section, as slices of the image.
    """
    axes = []
    for side in shape:
        edges = np.linspace(0, side, -(-side // CORE) + 1).astype(int).tolist()
        axes.append(
            [
                (slice(start, stop), slice(max(start - margin, 0), min(stop + margin, side)))
                for start, stop in pairwise(edges)
            ]
        )
    return [((y[0], x[0]), (y[1], x[1])) for y in axes[0] for x in axes[1]]


def inside(pixels: np.ndarray, core: Section) -> np.ndarray:
    """Tell which of some pixels, y and x (2, M), are in a core."""
    return np.all([(p >= c.start) & (p < c.stop) for p, c in zip(pixels, core, strict=True)], 0)


def relative(core: Section, section: Section) -> tuple[tuple[int, int], Section]:
    """Return where a section starts, y and x, and its core as slices of it."""
    start = section[0].start, section[1].start
    inner = [slice(c.start - s, c.stop - s) for c, s in zip(core, start, strict=True)]
    return start, tuple(inner)


def detect(
    data: np.ndarray, noise: np.ndarray | None, threshold: float, min_pixels: int, core: Section
) -> Detections | None:
    """Find and measure the sources of a section.

    The image is smoothed; the threshold is in units of the noise of the smoothed image, which is
    measured between the sources, so that correlated pixels do not change its meaning. A noise map
    marks where the noise is larger, and gives the errors of the fluxes.

    Args:
        data: the section (H, W), NaN where there are no data.
        noise: noise of a pixel (H, W), in the image's unit; measured where None.
        threshold: in units of the noise.
        min_pixels: connected pixels above it that make a source.
        core: the core, as slices of the section.

    Returns:
        The sources, or None where too little is known of the background.
    """
    unit = natural_unit(data)
    if unit is None:
        return None
    # Squares of numbers in the image's unit may under- or overflow.
    noise = None if noise is None else noise / unit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no sources; deblending that changed its mode
        found = _detect(data / unit, noise, threshold, min_pixels, core)
    if found is None:
        return None
    for name in ("flux", "sky", "scatter") if found.columns else ():
        found.columns[name] = found.columns[name] * unit
    return found


def natural_unit(data: np.ndarray) -> float | None:
    """Return a unit in which an image's noise is about 1; None where it has but one value.

    Args:
        data: the image, NaN where there are no data.
    """
    known = data[np.isfinite(data)]
    if not known.size:
        return None
    distances = np.abs(known - np.median(known))
    unit = float(np.median(distances)) or float(distances.mean())
    return unit or None


def _detect(
    data: np.ndarray, noise: np.ndarray | None, threshold: float, min_pixels: int, core: Section
) -> Detections | None:
    found = background(data)
    if found is None:
        return None
    sky, scatter, is_sky = found
    image = data - sky
    noise = scatter if noise is None else noise
    kernel = make_2dgaussian_kernel(KERNEL_FWHM, size=5)
    smooth = convolve(image, kernel, boundary="extend")
    scale, smooth_scale = (float(mad_std((i / noise)[is_sky])) for i in (image, smooth))
    if not scale > 0:
        return None
    products = lagged_products(np.where(is_sky, image / (scale * noise), np.nan))
    level = threshold * smooth_scale * noise
    segments = detect_sources(smooth, level, min_pixels, mask=np.isnan(data))
    if segments is None:
        return Detections(np.zeros(data.shape, np.int32), {}, products, scale)
    segments = deblend_sources(
        smooth, segments, min(PEAK, min_pixels), contrast=CONTRAST, progress_bar=False
    )
    catalogue = SourceCatalog(image, segments, convolved_data=smooth, error=noise)
    owned = inside(catalogue.max_value_index.T, core)
    columns = _measure(catalogue[owned], segments) if owned.any() else {}
    if columns:
        pixel = np.rint(columns["y"]).astype(int), np.rint(columns["x"]).astype(int)
        columns |= {"sky": sky[pixel], "scatter": scatter[pixel]}
        columns["scale"] = np.full(len(sky[pixel]), scale)
    numbers = segments.data.astype(np.int32, copy=False)
    return Detections(numbers, columns, products, scale, image, catalogue, owned)


def background(data: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Measure the background of a section (H, W).

    This is done twice, the second time without the sources that the first showed.

    Args:
        data: in a unit in which its noise is about 1, NaN where there are no data.

    Returns:
        The background, its noise, and where there is nothing else, (H, W); None if there are too
        few data.
    """
    missing = np.isnan(data)
    try:
        sky, scatter = _background(data, missing)
        sources = detect_sources(data, sky + 2 * scatter, 10, mask=missing)
    except ValueError:  # photutils: too few pixels
        return None
    covered = missing if sources is None else missing | sources.make_source_mask(size=11)
    with suppress(ValueError):  # sources everywhere
        sky, scatter = _background(data, covered)
    return sky, scatter, ~covered


def _background(data: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = data[~mask]
    # The median, and the mode by it, of a few distinct values jumps from one to the next.
    coarse = known.size and np.mean(known == np.median(known)) > COARSE
    estimator = MeanBackground() if coarse else SExtractorBackground()
    found = Background2D(data, BOX, mask=mask, exclude_percentile=95, bkg_estimator=estimator)
    return found.background, found.background_rms


def _measure(catalogue: SourceCatalog, segments: SegmentationImage) -> dict[str, np.ndarray]:
    flux, error = fluxes(catalogue, catalogue)
    return {
        "segment": catalogue.labels,
        "x": catalogue.x_centroid,
        "y": catalogue.y_centroid,
        "flux": flux,
        "signal_to_noise": flux / error,
        "flux_radius": catalogue.flux_radius(0.5).value,
        "deblended": np.isin(catalogue.labels, segments.deblended_labels).astype(int),
    }


def fluxes(band: SourceCatalog, found: SourceCatalog) -> tuple[np.ndarray, np.ndarray]:
    """Return the fluxes and their errors in Kron's apertures.

    Args:
        band: the sources (n,) in the band to be measured, with the apertures of their detection.
        found: the same as they were detected.

    Returns:
        Fluxes and errors (n,), of the segments where Kron's radius is not defined because the
        detection has too little light.
    """
    kron = np.isfinite(found.kron_flux) & (found.kron_flux > 0)
    flux = np.where(kron, band.kron_flux, band.segment_flux)
    return flux, np.where(kron, band.kron_flux_err, band.segment_flux_err)


def lagged_products(noise: np.ndarray) -> np.ndarray:
    """Sum the products of pixels up to LAGS apart.

    Args:
        noise: an image (H, W), NaN where it is not noise.

    Returns:
        The sums at each lag, and the numbers of pairs (2, 2 LAGS + 1, 2 LAGS + 1).
    """
    known = np.isfinite(noise)
    shape = [fft.next_fast_len(side + LAGS, real=True) for side in noise.shape]
    lags = np.arange(-LAGS, LAGS + 1)
    sums = []
    for field in (np.where(known, noise, 0), known.astype(noise.dtype)):
        power = np.abs(fft.rfft2(field, shape)) ** 2
        sums.append(fft.irfft2(power, shape)[np.ix_(lags, lags)])
    return np.array(sums, float)


def noise_filter(products: np.ndarray) -> np.ndarray:
    """Find the filter that gives white noise the measured correlation, at the same variance.

    Args:
        products: sums and numbers of pairs, of `lagged_products`.

    Returns:
        Filter (2 LAGS + 1, 2 LAGS + 1), its squares sum to 1.
    """
    correlation = products[0] / np.maximum(products[1], 1)
    power = fft.fft2(fft.ifftshift(correlation)).real.clip(0)
    kernel = fft.fftshift(fft.ifft2(np.sqrt(power)).real)
    return kernel / np.sqrt((kernel**2).sum())


def draw_noise(kernel: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw an image (size, size) of noise of variance 1 with the correlation of a filter."""
    white = rng.standard_normal((size + len(kernel) - 1,) * 2)
    return fftconvolve(white, kernel, mode="valid")
