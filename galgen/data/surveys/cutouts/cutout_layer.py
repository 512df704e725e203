"""A cutout in one band: its data, its sky and its noise."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from galgen.data.edges import outer_frame
from galgen.data.surveys.cutouts.cutout_files import Unusable

LARGEST, SMALLEST = 1e37, 1e-33
"""Peaks of cutouts that numbers of 32 bits hold, their noise included."""
MANY = 0.05
"""Share of pixels of exactly 0 that is worth a note."""
FEWEST = 16
"""Pixels of the frame that are enough to measure the sky."""
TO_SIGMA = 1.4826
"""Of a normal distribution, the standard deviation by the median absolute deviation."""


@dataclass
class Layer:
    """A cutout in one band."""

    data: np.ndarray
    """(H, W) float32, without the sky if that is subtracted."""
    missing: np.ndarray
    """(H, W), where there are no data."""
    sky: float
    """The level that was subtracted."""
    level: float
    """On which the data stand now."""
    noise: float
    """Standard deviation of a pixel; NaN where unknown."""
    scatter: float
    """Standard deviation of a pixel at the edges."""
    zeros: bool
    """Whether many pixels are exactly 0."""


def measured(
    pixels: np.ndarray, noise: np.ndarray | float | None, factor: float, subtract: bool
) -> Layer | str:
    """Measure a cutout in one band.

    Args:
        pixels: (H, W).
        noise: standard deviation of each pixel in the final unit (H, W), NaN where there are no
            data; of all of them; or None, to measure it at the edges.
        factor: brings the pixels to the final unit.
        subtract: whether to subtract the sky at the edges.

    Returns:
        The cutout, or the reason why it has no data.

    Raises:
        Unusable: if numbers of 32 bits cannot hold it, or it is too small.
    """
    if min(pixels.shape) < 3:
        raise Unusable("it is smaller than 3 px")
    data = np.asarray(pixels, np.float32 if pixels.dtype.itemsize <= 4 else float)
    missing = ~np.isfinite(data)
    if isinstance(noise, np.ndarray):
        missing |= np.isnan(noise)
    known = data[~missing] if missing.any() else data.ravel()
    if not known.size:
        return "no pixel has data"
    low, high = float(known.min()), float(known.max())
    if low == high:
        return "its pixels have one value"
    if not SMALLEST < max(abs(low), abs(high)) * factor < LARGEST:
        raise Unusable("numbers of 32 bits cannot hold its pixels; give it in another unit")
    if missing.any():
        data = np.where(missing, 0, data)
    if factor != 1:
        data = data * factor
    edge = data[outer_frame(data.shape) & ~missing]
    edge = edge if edge.size >= FEWEST else data[~missing]
    level = float(np.median(edge))
    scatter = TO_SIGMA * float(np.median(np.abs(edge - level)))
    if noise is None:
        sigma = scatter if scatter > 0 else np.nan
    else:
        sigma = float(np.nanmedian(np.where(missing, np.nan, noise)))
    return Layer(
        data=np.asarray(data - level if subtract else data, np.float32),
        missing=missing,
        sky=level if subtract else 0.0,
        level=0.0 if subtract else level,
        noise=sigma,
        scatter=scatter,
        zeros=bool((known == 0).mean() > MANY),
    )


def brightest(layer: Layer) -> tuple[int, int]:
    """Return how far the brightest pixel near the centre is from it, along y and x."""
    smooth = gaussian_filter(np.where(layer.missing, layer.level, layer.data), 2)
    inner = tuple(slice(side // 4, side - side // 4) for side in smooth.shape)
    place = np.unravel_index(smooth[inner].argmax(), smooth[inner].shape)
    return tuple(
        int(p) + part.start - side // 2
        for p, part, side in zip(place, inner, smooth.shape, strict=True)
    )
