"""The outermost pixels of stamps, where there is sky."""

import numpy as np


def edge_pixels(images: np.ndarray) -> np.ndarray:
    """Return the outermost pixels of images (..., H, W), in one row each, (..., P)."""
    sides = (images[..., 0, :], images[..., -1, :], images[..., 1:-1, 0], images[..., 1:-1, -1])
    return np.concatenate(sides, axis=-1)
