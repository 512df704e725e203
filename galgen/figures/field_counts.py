"""The figure of a mock field: number counts and sizes of detections beside the true galaxies."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.convolution import convolve_fft
from astropy.io import fits
from astropy.stats import mad_std
from matplotlib.figure import Figure
from photutils.segmentation import SourceCatalog, SourceFinder, make_2dgaussian_kernel

from galgen.figures.display import COLOURS

if TYPE_CHECKING:
    from galgen.catalogues.fields import MockSky

LARGEST = 6000
"""Side of a field in which sources are detected, px."""
THRESHOLD = 4.0
"""Of detection, in standard deviations of a smoothed pixel."""
PIXELS = 5
"""Of a source, at least."""
SMOOTHED = 3.0
"""FWHM of the kernel, px."""
BIN = 0.5
"""Width of bins, mag."""


def detections(path: Path, sky: "MockSky") -> dict[str, np.ndarray] | None:
    """Detect sources in the image of a field, and measure them.

    Args:
        path: of the image.
        sky: what it shows.

    Returns:
        `x` and `y` (px, from 1), `magnitude` and `half_light_radius` (arcsec), (N,) each; None
        where the field is too large or holds no source.
    """
    if sky.side > LARGEST:
        return None
    header, image = fits.getheader(path), fits.getdata(path).astype(float)
    smooth = convolve_fft(image, make_2dgaussian_kernel(SMOOTHED, size=7))
    level = mad_std(smooth)
    threshold = THRESHOLD * level if level > 0 else 1e-3 * smooth.max()
    segments = SourceFinder(PIXELS, progress_bar=False)(smooth, threshold)
    if segments is None:
        return None
    sources = SourceCatalog(image, segments, convolved_data=smooth)
    flux = np.asarray(sources.kron_flux, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = header.get("MAGZERO", np.nan) - 2.5 * np.log10(flux)
    radius = np.asarray(sources.flux_radius(0.5).value, float) * sky.pixel_scale
    return {
        "x": np.asarray(sources.x_centroid) + 1,
        "y": np.asarray(sources.y_centroid) + 1,
        "magnitude": magnitude,
        "half_light_radius": radius,
    }


def draw_counts(sky: "MockSky", truth: np.ndarray, found: dict[str, np.ndarray]) -> Figure:
    """Draw number counts and sizes of true galaxies and of detections.

    Args:
        sky: what the field shows.
        truth: the table of its galaxies.
        found: its detections, as `detections` returns them.
    """
    figure = Figure(figsize=(8.2, 3.6), layout="constrained")
    counts, sizes = figure.subplots(1, 2)
    known = truth["magnitude"][np.isfinite(truth["magnitude"])]
    low, high = known.min(), known.max()
    edges = np.arange(np.floor(low), high + 4 * BIN, BIN)
    area = (sky.side * sky.pixel_scale / 60) ** 2
    samples = {"true galaxies": truth, "detections": found}
    for colour, (name, sample) in zip(COLOURS, samples.items(), strict=False):
        number = np.histogram(sample["magnitude"], edges)[0] / area / BIN
        counts.stairs(np.where(number > 0, number, np.nan), edges, color=colour, label=name)
        marker = {"s": 4, "alpha": 0.5, "lw": 0, "color": colour, "label": name}
        sizes.scatter(sample["magnitude"], sample["half_light_radius"], **marker)
    counts.set(xlabel=f"magnitude in {sky.band} [AB]", yscale="log")
    counts.set_ylabel("galaxies [arcmin⁻² mag⁻¹]")
    sizes.set(xlabel=f"magnitude in {sky.band} [AB]", ylabel="half-light radius [arcsec]")
    sizes.set(yscale="log", xlim=counts.get_xlim())
    for axis in (counts, sizes):
        axis.legend(fontsize=7)
    seen = "no PSF" if sky.psf == "none" else f"PSF {sky.psf}"
    figure.suptitle(
        f"generated galaxies on {sky.size:g}' × {sky.size:g}', {seen}; true sizes are without the "
        "PSF, magnitudes of detections in Kron apertures",
        fontsize=8,
    )
    return figure
