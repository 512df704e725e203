"""Normalisation of stamps, on the device, one batch at a time."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from galgen.data.batch import Batch


class Transform:
    """What brings a batch from the stamp file's unit to the model's scale, and back.

    Attributes:
        scale: of one unit of the model, in the stamp file's unit; None where it is the survey's to
            say, until `fit` has been called, and where each galaxy has its own.
        by_noise: whether the scale follows from the survey's noise, where none is given.
        keeps_noise: whether the noise of a batch is white with `noise_variance` afterwards.
    """

    scale: float | None = None
    by_noise = False
    keeps_noise = True

    def fit(self, noise: float) -> None:
        """Take the scale from the survey, where none was given.

        Args:
            noise: the survey's typical noise of a pixel, in the stamp file's unit.
        """


class Peak(Transform):
    """The original normalisation: relu(image - background) / maximum, in [0, 1].

    It throws flux away. The background of a stamp is the square root of its noise power
    spectrum at frequency zero, as in Censai (Adam et al. 2022). Stamps with no light above it
    stay zero; the variance of their noise is 1.
    """

    keeps_noise = False  # it is cut off at the background

    def value_range(self, low: float, high: float) -> tuple[float, float]:
        """Return the bounds of what comes of pixels between `low` and `high`."""
        return 0.0, 1.0

    def __call__(self, batch: Batch) -> Batch:
        """Normalise images, and the variance of the noise alike."""
        image = batch.image
        if batch.background is not None:
            image = image - batch.background[:, None, None]
        image = image.relu()
        peak = image.amax(dim=(1, 2))
        lit = peak > 0
        variance = None
        if batch.noise is not None:
            variance = (batch.noise / peak).square().where(lit, 1.0)
        peak = peak.where(lit, 1.0)
        return replace(batch, image=image / peak[:, None, None], noise_variance=variance)

    def inverse(self, image: Tensor) -> Tensor:
        """Return images (N, H, W) as they are: their unit is the peak, the flux is lost."""
        return image


class Physical(Transform):
    """Images stay linear in flux, in units of the survey's noise.

    A training then has the same losses whatever unit the survey is in.

    Args:
        scale: one unit of the model, in the stamp file's unit; the survey's noise where None.

    Raises:
        ValueError: if the scale is not positive.
    """

    by_noise = True

    def __init__(self, scale: float | None = None):
        self.scale = _positive(scale)

    def fit(self, noise: float) -> None:
        """Take the noise as the scale, where none was given."""
        self.scale = self.scale or noise

    def value_range(self, low: float, high: float) -> tuple[float, float]:
        """Return the bounds of what comes of pixels between `low` and `high`."""
        return low / self.scale, high / self.scale

    def __call__(self, batch: Batch) -> Batch:
        """Divide images by the scale, and the variance of the noise by its square."""
        variance = None if batch.noise is None else (batch.noise / self.scale).square()
        return replace(batch, image=batch.image / self.scale, noise_variance=variance)

    def inverse(self, image: Tensor) -> Tensor:
        """Return images (N, H, W) in the unit of the file."""
        return image * self.scale


class Asinh(Transform):
    """Inverse hyperbolic sine of image / scale (Lupton, Gunn & Szalay 1999).

    Args:
        scale: where linear turns to logarithmic, in the stamp file's unit; three times the
            survey's noise where None.

    Raises:
        ValueError: if the scale is not positive.
    """

    by_noise = True

    def __init__(self, scale: float | None = None):
        self.scale = _positive(scale)

    def fit(self, noise: float) -> None:
        """Take three times the noise as the scale, where none was given."""
        self.scale = self.scale or 3 * noise

    def value_range(self, low: float, high: float) -> tuple[float, float]:
        """Return the bounds of what comes of pixels between `low` and `high`."""
        return math.asinh(low / self.scale), math.asinh(high / self.scale)

    def __call__(self, batch: Batch) -> Batch:
        """Compress images; their noise has no one variance afterwards."""
        return replace(batch, image=torch.asinh(batch.image / self.scale))

    def inverse(self, image: Tensor) -> Tensor:
        """Return images (N, H, W) in the unit of the file."""
        return torch.sinh(image) * self.scale


def _positive(scale: float | None) -> float | None:
    if scale is not None and not 0 < scale < math.inf:
        raise ValueError(f"transform.scale={scale}: a scale is positive. Leave it out.")
    return scale
