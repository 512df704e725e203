"""What a telescope does to the light of a galaxy, and how well it sees."""

import math

import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn
from torch.nn import functional


def convolve(light: Tensor, psf: Tensor, oversampling: int = 1) -> Tensor:
    """Convolve images with their PSFs; beyond an edge the light goes on as it is there.

    With darkness beyond the edges, a model would have to frame a large galaxy with light.

    Args:
        light: (N, B, s H, s W).
        psf: (N, B, h, w) or (1, B, h, w), centred on the pixel (h // 2, w // 2).
        oversampling: s, pixels of the light along the side of one of the image and the PSF.

    Returns:
        Images (N, B, H, W), float32.
    """
    if oversampling > 1:
        psf = finer(psf.float(), oversampling)
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
    seen = whole[:, :, h - 1 : h - 1 + height, w - 1 : w - 1 + width]
    return seen[:, :, ::oversampling, ::oversampling]


def finer(psf: Tensor, oversampling: int) -> Tensor:
    """Interpolate PSFs for light on finer pixels, as far as their own pixels sample them.

    The middle of an image's pixel lies (s - 1) / 2 of the light's pixels beyond that of the first
    light pixel in it, and the PSF is shifted by as much.

    Source: Whittaker 1915, Shannon 1949 (cardinal series).

    Args:
        psf: (N, B, h, w), centred on the pixel (h // 2, w // 2).
        oversampling: s, light pixels along the side of an image pixel.

    Returns:
        (N, B, s h', s w'), centred alike, h' and w' odd; the light of a pixel is kept wherever in
        an image pixel it lies.
    """
    rows, columns = (_cardinal(side, oversampling, psf) for side in psf.shape[2:])
    found = rows @ psf @ columns.T
    phases = found.unflatten(3, (-1, oversampling)).unflatten(2, (-1, oversampling))
    kept = phases.sum(dim=(2, 4), keepdim=True)
    total = psf.sum(dim=(2, 3))[:, :, None, None, None, None]
    return (phases * torch.where(kept > 0, total / kept, 1)).flatten(4, 5).flatten(2, 3)


def _cardinal(side: int, factor: int, like: Tensor) -> Tensor:
    """Return the matrix that interpolates `side` samples, (factor * odd side, side)."""
    half = side // 2
    fine = factor * (2 * half + 1)
    offset = torch.arange(fine, device=like.device) - fine // 2 + (factor - 1) / 2
    return torch.sinc(offset[:, None] / factor - torch.arange(side, device=like.device) + half)


def on_survey_pixels(light, oversampling: int):
    """Sum light (N, B, s H, s W), a tensor or an array, over each pixel of the survey."""
    if oversampling == 1:
        return light
    n, bands, height, width = light.shape
    s = oversampling
    return light.reshape(n, bands, height // s, s, width // s, s).sum((3, 5))


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
        where unknown, as in a band that a galaxy lacks.
    """
    unknown = batch.image.new_full((len(batch.image), bands), torch.nan)
    noise = unknown if batch.noise_variance is None else 0.5 * batch.noise_variance.log()
    if batch.weight is not None:
        has_band = batch.weight.amax(dim=(2, 3)) > 0
        noise = noise.where(has_band, torch.nan)
    width = unknown
    if batch.psf is not None:
        squares = batch.psf.float().square().sum(dim=(2, 3))
        width = -0.5 * (4 * math.pi * squares).log()
    numbers = torch.cat([noise, width], dim=1)
    return numbers.where(numbers.isfinite(), torch.nan)
