"""What a telescope does to the light of a galaxy."""

import torch
from torch import Tensor


def convolve(light: Tensor, psf: Tensor) -> Tensor:
    """Convolve images with their PSFs; beyond the edges there is no light.

    Args:
        light: (N, B, H, W).
        psf: (N, B, h, w), centred on the pixel (h // 2, w // 2).

    Returns:
        Images (N, B, H, W), float32.
    """
    height, width = light.shape[2:]
    top, left = psf.shape[2] // 2, psf.shape[3] // 2
    # Light that wraps around in a transform of this size falls outside the part that is returned.
    shape = [_fast(height + psf.shape[2] - top), _fast(width + psf.shape[3] - left)]
    with torch.autocast(light.device.type, enabled=False):
        product = torch.fft.rfft2(light.float(), shape) * torch.fft.rfft2(psf.float(), shape)
        whole = torch.fft.irfft2(product, shape)
    return whole[:, :, top : top + height, left : left + width]


def _fast(size: int) -> int:
    """Return the smallest product of powers of 2, 3 and 5 from a size, and even."""
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1 and size % 2 == 0:
            return size
        size += 1
