"""What a telescope does to the light of a galaxy, and how well it sees."""

import math

import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn
from torch.nn import functional


def convolve(light: Tensor, psf: Tensor) -> Tensor:
    """Convolve images with their PSFs; beyond an edge the light goes on as it is there.

    With darkness beyond the edges, a model would have to frame a large galaxy with light.

    Args:
        light: (N, B, H, W).
        psf: (N, B, h, w) or (1, B, h, w), centred on the pixel (h // 2, w // 2).

    Returns:
        Images (N, B, H, W), float32.
    """
    height, width = light.shape[2:]
    h, w = psf.shape[2:]
    padded = functional.pad(
        light.float(), (w - 1 - w // 2, w // 2, h - 1 - h // 2, h // 2), "replicate"
    )
    # In a transform of this size nothing wraps around to the part that is returned.
    shape = [next_fast_len(side, real=True) for side in padded.shape[2:]]
    with torch.autocast(light.device.type, enabled=False):
        product = torch.fft.rfft2(padded, shape) * torch.fft.rfft2(psf.float(), shape)
        whole = torch.fft.irfft2(product, shape)
    return whole[:, :, h - 1 : h - 1 + height, w - 1 : w - 1 + width]


class TelescopePlanes(nn.Module):
    """Planes that tell an encoder how noisy and how blurred a stamp is, beside what is usual.

    Args:
        bands: of the images.
    """

    def __init__(self, bands: int):
        super().__init__()
        self.bands = bands
        self.register_buffer("usual", torch.zeros(2 * bands))

    def learn(self, batch) -> None:
        """Take the mean noise and PSF of a batch for the usual ones."""
        self.usual.copy_(noise_and_width(batch, self.bands).nanmean(dim=0).nan_to_num(nan=0.0))

    def numbers(self, batch) -> Tensor:
        """Return how noise and PSFs of a batch differ from the usual, (N, 2 B), 0 if unknown."""
        return (noise_and_width(batch, self.bands) - self.usual).nan_to_num(nan=0.0)

    def forward(self, planes: Tensor, numbers: Tensor | None) -> Tensor:
        """Append planes of numbers (N, 2 B), 0 where None, to the images' (N, B, H, W)."""
        further = torch.zeros_like(planes).repeat(1, 2, 1, 1)
        if numbers is not None:
            further = further + numbers[:, :, None, None]
        return torch.cat([planes, further], dim=1)


def noise_and_width(batch, bands: int) -> Tensor:
    """Return how noisy and how blurred the stamps of a batch are, as logarithms, (N, 2 bands).

    Args:
        batch: `galgen.data.batch.Batch`.
        bands: of its images.

    Returns:
        Of each band the standard deviation of a pixel's noise, on the model's scale, and then of
        each band the width of the PSF: sigma of the Gaussian with the same sum of squares, px. NaN
        where unknown.
    """
    unknown = batch.image.new_full((len(batch.image), bands), torch.nan)
    noise = unknown if batch.noise_variance is None else 0.5 * batch.noise_variance.log()
    width = unknown
    if batch.psf is not None:
        squares = batch.psf.float().square().sum(dim=(2, 3))
        width = -0.5 * (4 * math.pi * squares).log()
    numbers = torch.cat([noise, width], dim=1)
    return numbers.where(numbers.isfinite(), torch.nan)
