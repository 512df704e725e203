"""Statistics of galaxies in each band, and their colours.

Colours are differences of asinh magnitudes (Lupton, Gunn & Szalay 1999), which a negative flux has
too. Bright galaxies have the usual colours; where there is nothing but noise, both magnitudes are
about those of the noise.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from galgen.data.edges import edge_variance
from galgen.evaluation.morphology.forced_photometry import forced_photometry
from galgen.evaluation.morphology.structure import EXTENT

INNER, APERTURE, OUTER = 1.0, 1.5, 2.0
"""Radii of circles, half-light radii in the reference band: magnitudes and colours are those within
APERTURE; gradients compare the light within INNER with that from there to OUTER."""
SOFTENING = 1.042
"""Softening of asinh magnitudes over the flux's noise (Lupton et al. 1999, section 3)."""
LEAST_SIGNAL = 10
"""Flux over its noise below which no size is measured."""


def magnitude_names(bands: Sequence[str]) -> list[str]:
    """Return the names of the magnitudes within the aperture."""
    return [f"aperture_magnitude_{band}" for band in bands]


def size_names(bands: Sequence[str]) -> list[str]:
    """Return the names of the half-light radii in each band."""
    return [f"half_light_radius_{band}" for band in bands]


def colour_names(bands: Sequence[str]) -> list[str]:
    """Return the names of the colours, one for each two neighbouring bands."""
    return [f"colour_{one}_{other}" for one, other in itertools.pairwise(bands)]


def gradient_names(bands: Sequence[str]) -> list[str]:
    """Return the names of the gradients of these colours."""
    return [f"colour_gradient_{one}_{other}" for one, other in itertools.pairwise(bands)]


def all_names(bands: Sequence[str]) -> list[str]:
    """Return the names of everything that `measure_bands` measures."""
    named = (colour_names, gradient_names, magnitude_names, size_names)
    return [name for names in named for name in names(bands)]


def measure_bands(
    images: np.ndarray,
    bands: Sequence[str],
    has_band: np.ndarray,
    shapes: dict[str, np.ndarray],
    pixel_scale: float,
    zero_points: Sequence[float | None],
    noise_variance: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Measure galaxies in each band, in circles that the reference band defines.

    Args:
        images: (N, B, H, W).
        bands: their names, neighbours in wavelength beside each other.
        has_band: which galaxies have which bands, (N, B).
        shapes: what `galgen.evaluation.morphology.measure.measure` found in the reference band.
        pixel_scale: arcsec.
        zero_points: AB magnitude of one unit in each band, (B,); 0 stands in for None, which adds a
            constant to magnitudes and colours.
        noise_variance: of a pixel, (N, B); by the scatter of the outermost pixels where NaN or
            None.

    Returns:
        Arrays (N,) by name, NaN where a galaxy lacks a band or could not be measured: the aperture
        magnitudes, the colours, their gradients (the colour of the inner light less that of the
        outer: positive where the middle is redder), and the half-light radii, arcsec.
    """
    centres = np.stack([shapes["centroid_y"], shapes["centroid_x"]], axis=1)
    half_light, petrosian = (
        shapes[f"{name}_radius"] / pixel_scale for name in ("half_light", "petrosian")
    )
    circles = np.multiply.outer(half_light, [0, INNER, APERTURE, OUTER])
    extent = np.maximum(EXTENT * petrosian, circles[:, -1])
    circles = np.column_stack([circles, extent])
    flux, half = forced_photometry(images, centres, circles)
    if noise_variance is None or np.isnan(noise_variance).any():
        estimate = edge_variance(images)
        given = np.nan if noise_variance is None else noise_variance
        noise_variance = np.where(np.isnan(given), estimate, given)
    points = np.array([point or 0.0 for point in zero_points])

    def magnitude(inner: int, outer: int) -> np.ndarray:
        """Return the magnitudes of the light between two of the circles, (N, B)."""
        area = np.pi * (circles[:, outer] ** 2 - circles[:, inner] ** 2)
        softening = SOFTENING * np.sqrt(noise_variance * area[:, None])
        light = flux[..., outer] - flux[..., inner]
        return np.where(has_band, points + asinh_magnitude(light, softening), np.nan)

    aperture, inside, outside = magnitude(0, 2), magnitude(0, 1), magnitude(1, 3)
    noise = np.sqrt(noise_variance * np.pi * extent[:, None] ** 2)
    sizes = np.where(has_band & (flux[..., -1] > LEAST_SIGNAL * noise), half, np.nan)
    return {
        **_columns(magnitude_names(bands), aperture),
        **_columns(colour_names(bands), -np.diff(aperture)),
        **_columns(gradient_names(bands), np.diff(outside) - np.diff(inside)),
        **_columns(size_names(bands), sizes * pixel_scale),
    }


def asinh_magnitude(flux: np.ndarray, softening: np.ndarray) -> np.ndarray:
    """Return asinh magnitudes of zero point 0.

    Source: Lupton, Gunn & Szalay 1999, equation 3.

    Args:
        flux: in any unit.
        softening: flux below which they are linear in it; where 0, they are the usual magnitudes.

    Returns:
        Magnitudes, NaN where there is no light and no softening.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        linear = np.arcsinh(flux / (2 * softening)) + np.log(softening)
        found = np.where(softening > 0, linear, np.log(flux))
    return np.where(np.isfinite(found), -2.5 / np.log(10) * found, np.nan)


def _columns(names: Sequence[str], table: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns of a table (N, K) by name."""
    return dict(zip(names, table.T, strict=True))
