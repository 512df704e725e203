"""Reconstruction terms, summed over the bands and pixels of each galaxy."""

import math
from abc import ABC, abstractmethod

import torch
import torch.distributed as dist
from torch import Tensor, nn


class KnownNoise(nn.Module, ABC):
    """A likelihood that tells how far a prediction misses from how noisy the image is."""

    @abstractmethod
    def split(self, prediction: Tensor, batch) -> tuple[Tensor, Tensor]:
        """Return the misfit and the entropy of the noise, whose sum is the cost, nats, (N,) each.

        The misfit of the truth is 0 in the mean: it is half of what chi² has above the number of
        pixels.

        Args:
            prediction: (N, B, H, W).
            batch: `galgen.data.batch.Batch`.
        """

    def forward(self, prediction: Tensor, batch) -> Tensor:
        """Return the negative log-likelihood of predictions (N, B, H, W), nats, (N,)."""
        misfit, entropy = self.split(prediction, batch)
        return misfit + entropy


class SquaredError(nn.Module):
    """Summed squared error, the original models' data term."""

    def forward(self, prediction: Tensor, batch) -> Tensor:
        """Return the cost of each galaxy, (N,), of predictions (N, B, H, W)."""
        return squared_error(prediction, batch)


class Gaussian(KnownNoise):
    """Negative log-likelihood of white Gaussian noise with one fixed standard deviation.

    Args:
        sigma: standard deviation of a pixel, in the unit of the model's images.

    Raises:
        ValueError: if sigma is not positive.
    """

    def __init__(self, sigma: float):
        super().__init__()
        if not sigma > 0:
            raise ValueError(f"likelihood.sigma={sigma}: it must be positive.")
        self.sigma = sigma

    def split(self, prediction: Tensor, batch) -> tuple[Tensor, Tensor]:
        """Return misfit and entropy, as in `KnownNoise`."""
        return _gaussian(prediction, batch, math.log(self.sigma))


class NoiseAware(KnownNoise):
    """Negative log-likelihood of white Gaussian noise with the known variance of each stamp.

    Args:
        relative_error: additional standard deviation, as a share of the predicted brightness of
            each pixel: how well a profile need be known where it stands thousands of times above
            the noise. Without it, the few brightest galaxies are nearly all of the loss.

    Raises:
        ValueError: if the relative error is negative.
    """

    needs_noise = True
    """Whether every stamp must have a known noise variance."""

    def __init__(self, relative_error: float = 0.0):
        super().__init__()
        self.relative_error = check_relative_error(relative_error)

    def split(self, prediction: Tensor, batch) -> tuple[Tensor, Tensor]:
        """Return misfit and entropy, as in `KnownNoise`.

        Raises:
            ValueError: if the batch has no noise variances. Their values are not looked at, which
                an accelerator would have to be waited for.
        """
        variance = batch.noise_variance
        if variance is None:
            raise ValueError("likelihood=noise_aware needs the noise variance of every stamp")
        if not self.relative_error:
            return _gaussian(prediction, batch, 0.5 * variance.log())
        variance = variance[:, :, None, None] + (self.relative_error * prediction).square()
        return split_normal(prediction - batch.image, variance, batch.weight)


class LearnedSigma(KnownNoise):
    """Gaussian noise whose one shared standard deviation is the optimum of each batch.

    The optimum is the root mean squared error over the batch. In training it is used as it
    is, and a running average of its square is kept, which is used in eval mode.

    Source: Rybkin, Daniilidis & Levine 2021, "Simple and Effective VAE Training with
    Calibrated Decoders", section 3.2 (optimal sigma-VAE).

    Args:
        momentum: weight of the newest batch in the running average.
    """

    def __init__(self, momentum: float = 0.05):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("variance", torch.tensor(0.0))

    def split(self, prediction: Tensor, batch) -> tuple[Tensor, Tensor]:
        """Return misfit and entropy, as in `KnownNoise`."""
        error = _squared_errors(prediction.detach(), batch).sum()
        sums = torch.stack([error, counted_pixels(batch).sum()])
        error, pixels = _over_ranks(sums, batch) if self.training else sums
        variance = (error / pixels).clamp_min(1e-12)
        started = self.variance > 0
        if self.training:
            step = torch.where(started, self.momentum, 1.0)
            self.variance += step * (variance - self.variance)
        else:
            variance = torch.where(started, self.variance, variance)
        return _gaussian(prediction, batch, 0.5 * variance.log())


def check_relative_error(relative_error: float) -> float:
    """Return the relative error, if it is a number from 0.

    Raises:
        ValueError: if it is not.
    """
    if not 0 <= relative_error < math.inf:
        raise ValueError(f"likelihood.relative_error={relative_error}: it must not be negative.")
    return relative_error


def split_normal(
    residual: Tensor, variance: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return misfit and entropy of independent normal numbers, (N,) each.

    Args:
        residual: (N, B, H, W).
        variance: of each, (N, B, H, W).
        weight: (N, B, H, W), or None for 1.
    """
    misfit = 0.5 * (residual.square() / variance - 1)
    entropy = 0.5 * ((2 * math.pi * variance).log() + 1)
    if weight is not None:
        misfit, entropy = misfit * weight, entropy * weight
    return misfit.sum(dim=(1, 2, 3)), entropy.sum(dim=(1, 2, 3))


def squared_error(prediction: Tensor, batch) -> Tensor:
    """Sum the squared error over the pixels of each galaxy that count, (N, B, H, W) to (N,)."""
    return _squared_errors(prediction, batch).sum(dim=1)


def _squared_errors(prediction: Tensor, batch) -> Tensor:
    """Sum the squared error over the pixels of each band that count, (N, B)."""
    error = (prediction - batch.image).square()
    if batch.weight is not None:
        error = error * batch.weight
    return error.sum(dim=(2, 3))


def _over_ranks(sums: Tensor, batch) -> Tensor:
    """Add up what processes sum over their shares of a batch."""
    if dist.is_available() and dist.is_initialized() and batch.share.ranks > 1:
        sums = sums * (batch.share.galaxies > 0)
        dist.all_reduce(sums)
    return sums


def counted_pixels(batch) -> Tensor:
    """Count the pixels of each band that count, (N, B)."""
    if batch.weight is not None:
        return batch.weight.sum(dim=(2, 3))
    return batch.image.new_full(batch.image.shape[:2], batch.image[0, 0].numel())


def _gaussian(prediction: Tensor, batch, log_sigma: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return misfit and entropy, nats, (N,) each; log_sigma is one number or (N, B)."""
    precision = math.exp(-2 * log_sigma) if isinstance(log_sigma, float) else (-2 * log_sigma).exp()
    errors, pixels = _squared_errors(prediction, batch), counted_pixels(batch)
    entropy = pixels * (log_sigma + 0.5 * math.log(2 * math.pi) + 0.5)
    return 0.5 * (precision * errors - pixels).sum(dim=1), entropy.sum(dim=1)
