"""The outer pixels of stamps, where there is sky."""

from functools import cache

import numpy as np

EDGES = ("keep", "subtract")
"""What becomes of the level on which generated galaxies stand."""
FRAME = 8
"""Side of a stamp over the width of the frame on which its level is measured: a decoder's outermost
pixels are often brighter than the rest of its background."""


def edge_pixels(images: np.ndarray) -> np.ndarray:
    """Return the outermost pixels of images (..., H, W), in one row each, (..., P)."""
    sides = (images[..., 0, :], images[..., -1, :], images[..., 1:-1, 0], images[..., 1:-1, -1])
    return np.concatenate(sides, axis=-1)


def edge_level(images: np.ndarray) -> np.ndarray:
    """Return the level on which galaxies stand, the median of the outer frame of a stamp.

    Args:
        images: (..., H, W).

    Returns:
        Array (...,), in the unit of the images.
    """
    return np.median(images[..., outer_frame(images.shape[-2:])], axis=-1)


@cache
def outer_frame(shape: tuple[int, int]) -> np.ndarray:
    """Return which pixels of a stamp (H, W) lie in its outer frame."""
    width = max(1, min(shape) // FRAME)
    frame = np.ones(shape, bool)
    frame[width:-width, width:-width] = False
    return frame


def without_edge(images: np.ndarray) -> np.ndarray:
    """Subtract from images (..., H, W) the level on which each galaxy stands."""
    return images - edge_level(images)[..., None, None]


def edge_variance(images: np.ndarray) -> np.ndarray:
    """Estimate the noise variance of images (..., H, W) by the scatter of their edges, (...,)."""
    pixels = edge_pixels(images).astype(float)
    away = np.abs(pixels - np.median(pixels, axis=-1, keepdims=True))
    return (1.4826 * np.median(away, axis=-1)) ** 2
