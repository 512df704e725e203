"""Normalisation and augmentation of stamps, on the device, one batch at a time."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from galgen.data.parts import Batch


class Peak:
    """The original normalisation: relu(image - background) / maximum, in [0, 1].

    It throws flux away. The background of a stamp is the square root of its noise power
    spectrum at frequency zero, as in Censai (Adam et al. 2022). Stamps with no light above it
    stay zero.
    """

    def value_range(self, low: float, high: float) -> tuple[float, float]:
        """Return the bounds of what comes of pixels between `low` and `high`."""
        return 0.0, 1.0

    def __call__(self, batch: Batch) -> Batch:
        """Normalise images, and the variance of the noise alike."""
        image = batch.image
        if batch.background is not None:
            image = image - batch.background[:, None, None]
        image = image.relu()
        peak = image.amax(dim=(1, 2)).clamp_min(1e-30)
        variance = batch.noise_variance
        if variance is not None:
            variance = variance / peak.square()
        return replace(batch, image=image / peak[:, None, None], noise_variance=variance)

    def inverse(self, image: Tensor) -> Tensor:
        """Return images (N, H, W) as they are: their unit is the peak, the flux is lost."""
        return image


class Physical:
    """No normalisation: images stay in the unit of the file."""

    def value_range(self, low: float, high: float) -> tuple[float, float]:
        """Return the bounds of what comes of pixels between `low` and `high`."""
        return low, high

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch as it is."""
        return batch

    def inverse(self, image: Tensor) -> Tensor:
        """Return images (N, H, W) as they are."""
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

    def __call__(self, batch: Batch) -> Batch:
        """Compress images; their noise has no one variance afterwards."""
        return replace(batch, image=torch.asinh(batch.image / self.scale), noise_variance=None)

    def inverse(self, image: Tensor) -> Tensor:
        """Return images (N, H, W) in the unit of the file."""
        return torch.sinh(image) * self.scale


def crop(image: Tensor, size: int, shift: Tensor | None = None) -> Tensor:
    """Cut the middle out of each image, or what lies beside it.

    Args:
        image: (N, H, H).
        size: side of the crop, px.
        shift: (N, 2), rows and columns by which the galaxy moves; 0 where None.

    Returns:
        Images (N, size, size).
    """
    start = (image.shape[1] - size) // 2
    if shift is None:
        return image[:, start : start + size, start : start + size]
    steps = torch.arange(size, device=image.device)
    rows, columns = (start - shift[:, axis, None] + steps for axis in (0, 1))
    galaxy = torch.arange(len(image), device=image.device)[:, None, None]
    return image[galaxy, rows[:, :, None], columns[:, None, :]]


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
