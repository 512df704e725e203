"""Normalisation of stamps, on the device, one batch at a time."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from galgen.data.batch import Batch


class Transform:
    """The step that brings a batch from the stamp file's unit to the model's scale, and back.

    Attributes:
        scale: one unit of the model, in the stamp file's unit: a number for all bands, or one for
            each; None until `fit` has taken it from the survey, and where each galaxy has its own.
        by_noise: whether the scale follows from the survey's noise, where none is given.
        keeps_noise: whether the noise of a batch is white with `noise_variance` afterwards.
    """

    scale: float | list[float] | None = None
    by_noise = False
    keeps_noise = True

    def fit(self, noise: np.ndarray) -> None:
        """Take the scale from the survey, where none was given.

        Args:
            noise: the survey's typical noise of a pixel in each band, in the stamp file's unit,
                (B,).
        """


class Peak(Transform):
    """The original normalisation: relu(image - background) / maximum, in [0, 1].

    It throws flux away. The background of a stamp is the square root of its noise power
    spectrum at frequency zero, as in Censai (Adam et al. 2022). Stamps with no light above it
    stay zero; the variance of their noise is 1.

    Args:
        per_band: whether each band has a peak of its own, which throws colours away too; else the
            maximum is that of all bands.
    """

    keeps_noise = False  # it is cut off at the background

    def __init__(self, per_band: bool = False):
        self.per_band = per_band

    def value_range(self, low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
        """Return the bounds of what comes of pixels between `low` and `high`, (B,) each."""
        return 0.0, 1.0

    def __call__(self, batch: Batch) -> Batch:
        """Normalise images, and the variance of the noise alike."""
        image = batch.image
        if batch.background is not None:
            image = image - batch.background[:, :, None, None]
        image = image.relu()
        peak = image.amax(dim=(2, 3))
        if not self.per_band:
            peak = peak.amax(dim=1, keepdim=True)
        lit = peak > 0
        variance = None
        if batch.noise is not None:
            variance = (batch.noise / peak).square().where(lit, 1.0)
        peak = peak.where(lit, 1.0)
        return replace(batch, image=image / peak[:, :, None, None], noise_variance=variance)

    def inverse(self, image: Tensor) -> Tensor:
        """Return images (N, B, H, W) as they are: their unit is the peak, the flux is lost."""
        return image


class Physical(Transform):
    """Images stay linear in flux, in units of the survey's noise.

    A training then has the same losses whatever unit the survey is in.

    Args:
        scale: one unit of the model, in the stamp file's unit, for all bands or for each; the
            survey's noise where None.

    Raises:
        ValueError: if the scale is not positive.
    """

    by_noise = True

    def __init__(self, scale: float | Sequence[float] | None = None):
        self.scale = _positive(scale)

    def fit(self, noise: np.ndarray) -> None:
        """Take the noise as the scale, where none was given."""
        self.scale = self.scale or _plain(noise)

    def value_range(self, low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
        """Return the bounds of what comes of pixels between `low` and `high`, (B,) each."""
        return float(np.min(low / self.scale)), float(np.max(high / self.scale))

    def __call__(self, batch: Batch) -> Batch:
        """Divide images by the scale, and the variance of the noise by its square."""
        scale, variance = _by_band(self.scale, batch.image), None
        if batch.noise is not None:
            variance = (batch.noise / scale.reshape(-1)).square()
        return replace(batch, image=batch.image / scale, noise_variance=variance)

    def inverse(self, image: Tensor) -> Tensor:
        """Return images (N, B, H, W) in the unit of the file."""
        return image * _by_band(self.scale, image)


class Asinh(Transform):
    """Inverse hyperbolic sine of image / scale (Lupton, Gunn & Szalay 1999).

    Args:
        scale: where linear turns to logarithmic, in the stamp file's unit, for all bands or for
            each; three times the survey's noise where None.

    Raises:
        ValueError: if the scale is not positive.
    """

    by_noise = True

    def __init__(self, scale: float | Sequence[float] | None = None):
        self.scale = _positive(scale)

    def fit(self, noise: np.ndarray) -> None:
        """Take three times the noise as the scale, where none was given."""
        self.scale = self.scale or _plain(3 * noise)

    def value_range(self, low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
        """Return the bounds of what comes of pixels between `low` and `high`, (B,) each."""
        low, high = (np.arcsinh(bound / self.scale) for bound in (low, high))
        return float(np.min(low)), float(np.max(high))

    def __call__(self, batch: Batch) -> Batch:
        """Compress images; their noise has no one variance afterwards."""
        return replace(batch, image=torch.asinh(batch.image / _by_band(self.scale, batch.image)))

    def inverse(self, image: Tensor) -> Tensor:
        """Return images (N, B, H, W) in the unit of the file."""
        return torch.sinh(image) * _by_band(self.scale, image)


def _positive(scale: float | Sequence[float] | None) -> float | list[float] | None:
    for value in [] if scale is None else np.atleast_1d(scale):
        if not 0 < value < math.inf:
            raise ValueError(f"transform.scale={scale}: a scale is positive. Leave it out.")
    return list(scale) if isinstance(scale, Sequence) else scale


def _plain(scale: np.ndarray) -> float | list[float]:
    """Turn scales (B,) into what a config can hold; of one band, into a number."""
    return scale.tolist() if len(scale) > 1 else float(scale[0])


def _by_band(scale: float | list[float], image: Tensor) -> Tensor:
    """Return the scale as a tensor that divides images (N, B, H, W)."""
    return torch.as_tensor(scale, dtype=image.dtype, device=image.device).reshape(-1, 1, 1)
