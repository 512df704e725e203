"""The mosaic's galaxies in two bands of known fluxes, with other PSFs and noise, and in tiles."""

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from galgen.data.surveys.mosaic.mosaic import Mosaic
from galgen.data.surveys.mosaic.mosaic_source import MosaicSource
from tests.data.mosaic_scene import HEADER, IMAGE, SHAPE, SIZE, TRUTH, WORLD, gaussian

RED = IMAGE
COLOUR = np.random.default_rng(7).uniform(0.3, 2.0, len(TRUTH))
"""Flux in the blue band, that of the red band being 1."""
BLUR = 1.0
"""The blue PSF is wider by it, sigma in quadrature, px."""
BLUE_NOISE, BLUE_SKY = 0.6, -2.0
POINTS = {"red": 25.0, "blue": 24.0}


def blue_scene() -> np.ndarray:
    image = np.random.default_rng(8).normal(BLUE_SKY, BLUE_NOISE, SHAPE)
    for row, colour in zip(TRUTH, COLOUR, strict=True):
        width = np.hypot(row["sigma"], BLUR)
        image += gaussian(row["x"], row["y"], row["flux"] * colour, width)
    return image.astype(np.float32)


BLUE = blue_scene()


def on_grid(wcs: WCS, shape: tuple[int, int], per_area: bool = False, noise=0.05) -> np.ndarray:
    """The blue scene, without sky, on another grid; by pixel of the first one with `per_area`."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    x, y = WORLD.world_to_pixel(wcs.pixel_to_world(columns, rows))
    height, width = shape
    scale = wcs.proj_plane_pixel_area().to_value("arcsec2") / 0.1**2
    image = np.random.default_rng(9).normal(0, noise, (height, width))
    for row, colour in zip(TRUTH, COLOUR, strict=True):
        square = row["sigma"] ** 2 + BLUR**2
        light = np.exp(-0.5 * ((x - row["x"]) ** 2 + (y - row["y"]) ** 2) / square)
        image += row["flux"] * colour * light / (2 * np.pi * square) * (1 if per_area else scale)
    return image


def write(folder, images: dict[str, np.ndarray], headers=HEADER) -> dict[str, str]:
    """Write images by name, with one header or one for each; return their paths."""
    for name, image in images.items():
        header = headers[name] if isinstance(headers, dict) else headers
        fits.writeto(folder / f"{name}.fits", image, header, overwrite=True)
    return {name: str(folder / f"{name}.fits") for name in images}


def opened(images, size: int = SIZE, **options) -> MosaicSource:
    """Open the source of some images by band."""
    options = {"zero_point": POINTS, **options}
    source = MosaicSource(Mosaic(images=images, **options), size)
    source.open()
    return source


def nearest(stamps: dict[str, np.ndarray]) -> np.ndarray:
    """The row of the true galaxy of each stamp."""
    distance = np.hypot(
        stamps["x"][:, None] - TRUTH["x"].data, stamps["y"][:, None] - TRUTH["y"].data
    )
    assert distance.min(1).max() < 0.5
    return distance.argmin(1)


def true_magnitudes(rows: np.ndarray) -> np.ndarray:
    """AB magnitudes in red and blue, (n, 2)."""
    red = TRUTH["flux"].data[rows]
    fluxes = np.stack([red, red * COLOUR[rows]], axis=1)
    return np.array(list(POINTS.values())) - 2.5 * np.log10(fluxes)
