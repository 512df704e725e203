"""Normalisation and augmentation of stamps, on the device, one batch at a time."""

import math

import torch
from torch import Tensor


class Peak:
    """The original normalisation: relu(image - background) / maximum, in [0, 1].

    It throws flux away. The background of a stamp is the square root of its noise power
    spectrum at frequency zero, as in Censai (Adam et al. 2022). Stamps with no light above it
    stay zero.
    """

    def value_range(self, low: float, high: float) -> tuple[float, float]:
        """Return the bounds of what comes of pixels between `low` and `high`."""
        return 0.0, 1.0

    def __call__(self, image: Tensor, background: Tensor | None) -> Tensor:
        """Normalise images (N, H, W) with backgrounds (N,)."""
        if background is not None:
            image = image - background[:, None, None]
        image = image.relu()
        return image / image.amax(dim=(1, 2), keepdim=True).clamp_min(1e-30)


class Physical:
    """No normalisation: images stay in the unit of the file."""

    def value_range(self, low: float, high: float) -> tuple[float, float]:
        """Return the bounds of what comes of pixels between `low` and `high`."""
        return low, high

    def __call__(self, image: Tensor, background: Tensor | None) -> Tensor:
        """Return the images as they are."""
        return image


class Asinh:
    """Inverse hyperbolic sine of image / scale (Lupton, Gunn & Szalay 1999).

    Args:
        scale: where linear turns to logarithmic, in the unit of the file.

    Raises:
        ValueError: if the scale is not positive.
    """

    def __init__(self, scale: float):
        if not scale > 0:
            raise ValueError(f"transform.scale is {scale}, it must be positive")
        self.scale = scale

    def value_range(self, low: float, high: float) -> tuple[float, float]:
        """Return the bounds of what comes of pixels between `low` and `high`."""
        return math.asinh(low / self.scale), math.asinh(high / self.scale)

    def __call__(self, image: Tensor, background: Tensor | None) -> Tensor:
        """Compress images (N, H, W)."""
        return torch.asinh(image / self.scale)


def dihedral(image: Tensor, code: Tensor) -> Tensor:
    """Flip and turn each image by one of the eight symmetries of the square.

    Args:
        image: (N, H, H).
        code: (N,), integers 0 to 7; bits 1, 2 and 4 flip rows, flip columns and transpose.

    Returns:
        Images (N, H, H).
    """
    code = code[:, None, None]
    image = torch.where((code & 1).bool(), image.flip(1), image)
    image = torch.where((code & 2).bool(), image.flip(2), image)
    return torch.where((code & 4).bool(), image.transpose(1, 2), image)
