"""The likelihood of noise whose pixels are correlated with their neighbours."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from galgen.models.likelihoods import KnownNoise, check_relative_error, split_normal


class CorrelatedNoise(KnownNoise):
    """Negative log-likelihood of Gaussian noise of known variance and correlation.

    The likelihood of a stamp is the product over its pixels of p(pixel | pixels before it), in
    reading order, with the nearest pixels alone as the condition (Vecchia 1988): a normalised
    density that ends at the stamp's edges, where a Fourier transform would take the stamp for
    periodic. A pixel's noise is predicted from its neighbours' residuals as far as these are noise:
    the model's own error, which `relative_error` allows, is white. Without correlation it is
    `NoiseAware`.

    Args:
        relative_error: as in `NoiseAware`.
        reach: pixels above, left and right of a pixel that its noise is predicted from; 3 leaves
            0.7 % of correlation in COSMOS noise.

    Raises:
        ValueError: if an argument is out of range.
    """

    needs_noise = True
    """Whether every stamp must have a known noise variance."""
    needs_correlation = True
    """Whether the correlation of the survey's noise must be known."""

    def __init__(self, relative_error: float = 0.0, reach: int = 3):
        super().__init__()
        self.relative_error, self.reach = check_relative_error(relative_error), reach
        if reach < 1:
            raise ValueError(f"likelihood.reach={reach}: it must be positive.")

    def split(self, prediction: Tensor, batch) -> tuple[Tensor, Tensor]:
        """Return misfit and entropy, as in `KnownNoise`.

        Raises:
            ValueError: if the batch has no noise variances, or no correlation of the noise.
        """
        if batch.noise_variance is None or batch.noise_correlation is None:
            raise ValueError(
                "likelihood=correlated_noise needs the noise variance of every stamp and the "
                "correlation of the survey's noise"
            )
        with torch.autocast(prediction.device.type, enabled=False):
            innovation, variance = self.innovations(prediction.float(), batch)
            return split_normal(innovation, variance, batch.weight)

    def innovations(self, prediction: Tensor, batch) -> tuple[Tensor, Tensor]:
        """Return what the pixels before it do not say of a pixel's residual, and its variance.

        Args:
            prediction: (N, B, H, W).
            batch: with images, `noise_variance`, `noise_correlation`.

        Returns:
            Two tensors (N, B, H, W).
        """
        predictor = causal_predictor(batch.noise_correlation, self.reach, prediction.shape[2:])
        noise = batch.noise_variance[:, :, None, None]
        error = (self.relative_error * prediction).square()
        share = noise / (noise + error)  # of noise in a pixel's variance
        residual = batch.image - prediction
        if batch.weight is not None:
            share, residual = share * batch.weight, residual * batch.weight
        innovation = residual - predictor.sum(predictor.coefficients, share * residual)
        unexplained = predictor.sum(predictor.explained, (1 - share).square()).clamp_min(0)
        scatter = predictor.sum(predictor.coefficients.square(), share * (1 - share))
        return innovation, error + noise * (predictor.variance + unexplained + scatter)


@dataclass
class CausalPredictor:
    """Predicts a pixel of noise from the pixels before it."""

    coefficients: Tensor
    """Of the pixels from `reach` rows above to the pixel's own row, (B, reach + 1, 2 reach + 1);
    0 for the pixel and those after it."""
    explained: Tensor
    """Share of the variance that each explains, of the same shape."""
    variance: Tensor
    """Variance that is left, in units of the noise's, (B, H, W); larger at the edges."""

    def sum(self, weights: Tensor, planes: Tensor) -> Tensor:
        """Sum planes (N, B, H, W) over the pixels before each, by weights of this shape.

        A product with a banded matrix is 20 times as fast as a convolution of one channel.
        """
        reach, width = weights.shape[1] - 1, planes.shape[3]
        column = torch.arange(width, device=planes.device)
        offset = column[:, None] - column + reach
        inside = (offset >= 0) & (offset <= 2 * reach)
        banded = weights[:, :, offset.clamp(0, 2 * reach)] * inside  # (B, reach + 1, W, W)
        rows = functional.pad(planes, (0, 0, reach, 0)).unfold(2, reach + 1, 1)
        return torch.einsum("nbhwk,bkwv->nbhv", rows, banded)


def causal_predictor(correlation: Tensor, reach: int, shape: torch.Size) -> CausalPredictor:
    """Find the best linear predictor of a pixel from those before it (Yule-Walker equations).

    Args:
        correlation: of the noise by offset, (B, h, w), h and w odd, 1 in the middle.
        reach: pixels above, left and right of the pixel.
        shape: height and width of the images.
    """
    before = [(dy, dx) for dy in range(-reach, 1) for dx in range(-reach, reach + 1)]
    before = torch.tensor(before[: reach * (2 * reach + 1) + reach], device=correlation.device)
    with_pixel = _at(correlation, before)  # (B, J)
    together = _at(correlation, before[:, None] - before)  # (B, J, J)
    jitter = 1e-6 * torch.eye(len(before), dtype=torch.float64, device=correlation.device)
    found, _ = torch.linalg.solve_ex(together + jitter, with_pixel)
    inside = _inside(before, (reach + 1, 2 * reach + 1)).double()  # of all that edges differ in
    present = inside[:, :, None] * found  # (h, w, B, J)
    variance = (
        1
        - 2 * torch.einsum("hwbj,bj->bhw", present, with_pixel)
        + torch.einsum("hwbj,hwbk,bjk->bhw", present, present, together)
    )
    rows, columns = (torch.arange(side, device=correlation.device) for side in shape)
    columns = torch.minimum(
        columns, torch.maximum(columns.new_tensor(reach), columns - shape[1] + 1 + 2 * reach)
    )
    variance = variance[:, rows.clamp(max=reach)][:, :, columns]
    window = (len(correlation), reach + 1, 2 * reach + 1)

    def kernel(values: Tensor) -> Tensor:
        return functional.pad(values, (0, reach + 1)).reshape(window).float()

    return CausalPredictor(kernel(found), kernel(found * with_pixel), variance.float())


def _at(correlation: Tensor, offsets: Tensor) -> Tensor:
    """Return the correlation (B, h, w) at offsets (..., 2), (B, ...); 0 beyond its edges."""
    half = torch.tensor(correlation.shape[1:], device=correlation.device) // 2
    known = (offsets.abs() <= half).all(dim=-1)
    y, x = (offsets.clamp(-half, half) + half).unbind(dim=-1)
    return correlation.double()[:, y, x] * known


def _inside(before: Tensor, shape: tuple[int, int]) -> Tensor:
    """Tell which of the pixels before each pixel lie in the image, (H, W, J)."""
    height, width = (torch.arange(side, device=before.device) for side in shape)
    y, x = height[:, None] + before[:, 0], width[:, None] + before[:, 1]
    return (y >= 0)[:, None] & ((x >= 0) & (x < shape[1]))[None]
