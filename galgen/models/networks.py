"""Convolutional encoders and decoders: those of the five original models, at any image size.

The layers follow from the image size. A convolution with kernel 4 and stride 2 halves an even
size exactly, one with kernel 3 an odd size (rounding up), and the transposed convolutions undo
both; 158 px gives the original 158-79-40-20-10-5.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

SMALLEST, LARGEST = 32, 256
"""Image sizes the networks are made for, in pixels."""


class Convolution(NamedTuple):
    """One strided convolution of the encoder, or its mirror image in the decoder."""

    wide: int
    """Channels on the side of the larger image."""
    narrow: int
    """Channels on the side of the smaller image."""
    kernel: int
    stride: int
    padding: int


def plan(
    image_size: int, width: int, code_channels: int, code_kernel: int
) -> tuple[list[Convolution], int]:
    """Lay out the convolutions from the image to the code.

    Args:
        image_size: side of the image, px.
        width: channels after the first convolution; they double up to 8 times this.
        code_channels: channels of the code.
        code_kernel: 4 halves the image a last time; 5 shrinks it by 4 px instead (vae128).

    Returns:
        The convolutions (their first `wide` is a placeholder for the image's channels),
        and the side of the code in pixels (4 to 7 with `code_kernel=4`).

    Raises:
        ValueError: if a size is out of range.
    """
    if not SMALLEST <= image_size <= LARGEST:
        raise ValueError(f"image_size={image_size}: the networks take {SMALLEST} to {LARGEST}.")
    if code_kernel not in (4, 5):
        raise ValueError(f"code_kernel={code_kernel}: it can be 4 or 5.")
    if min(width, code_channels) < 1:
        raise ValueError(f"width ({width}) and code_channels ({code_channels}) must be positive")
    steps, size, wide = [], image_size, 1
    while size > 7:
        narrow = min(width * 2 ** len(steps), width * 8)
        steps.append(Convolution(wide, narrow, 3 if size % 2 else 4, 2, 1))
        wide, last_size, size = narrow, size, (size + 1) // 2
    steps[-1] = steps[-1]._replace(narrow=code_channels)
    if code_kernel == 5:
        steps[-1] = steps[-1]._replace(kernel=5, stride=1, padding=0)
        size = last_size - 4
    return steps, size


def normalisation(kind: str, channels: int) -> nn.Module:
    """Make a normalisation layer: `batch`, or `group` (up to 8 groups, Wu & He 2018).

    Raises:
        ValueError: if the kind is another.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(math.gcd(8, channels), channels)
    raise ValueError(f"norm={kind}: it can be 'batch' or 'group'.")


class Encoder(nn.Module):
    """Image planes to the mean and log-variance of the latent.

    Args:
        image_size: side of the image, px.
        latent_dim: size of the latent.
        width: channels after the first convolution.
        norm: `batch` or `group`.
        image_channels: planes of the input.
        conditions: numbers appended to the code before the two heads.
        code_channels: channels of the code.
        code_kernel: kernel of the last convolution, 4 or 5.
        residual_blocks: after each convolution but the last.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        image_size: int,
        latent_dim: int,
        width: int,
        norm: str,
        image_channels: int = 1,
        conditions: int = 0,
        code_channels: int = 1,
        code_kernel: int = 4,
        residual_blocks: int = 0,
    ):
        super().__init__()
        (first, *middle, last), size = plan(image_size, width, code_channels, code_kernel)
        layers = [_convolve(first._replace(wide=image_channels)), nn.LeakyReLU(0.2, inplace=True)]
        layers += _blocks(residual_blocks, first.narrow, norm)
        for step in middle:
            layers += [
                _convolve(step),
                normalisation(norm, step.narrow),
                nn.LeakyReLU(0.2, inplace=True),
                *_blocks(residual_blocks, step.narrow, norm),
            ]
        self.layers = nn.Sequential(*layers, _convolve(last))
        code = code_channels * size**2 + conditions
        self.linear1 = nn.Linear(code, latent_dim)
        self.linear2 = nn.Linear(code, latent_dim)

    def forward(self, planes: Tensor, conditions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode planes (N, C, H, W) and conditions (N, K).

        Returns:
            Mean and log-variance of the latent, (N, latent_dim).
        """
        code = self.layers(planes).flatten(1)
        if conditions is not None:
            code = torch.cat([code, conditions], dim=1)
        return self.linear1(code), self.linear2(code)


class Decoder(nn.Module):
    """Latent rows to image planes; the mirror image of `Encoder`.

    Args:
        image_size: side of the image, px.
        inputs: numbers in a row.
        width: channels before the last convolution.
        norm: `batch` or `group`.
        rows: rows of the input; one linear layer acts on each.
        image_channels: planes of the output.
        code_channels: channels made of each row.
        code_kernel: kernel of the first transposed convolution, 4 or 5.
        residual_blocks: after each transposed convolution but the last.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        image_size: int,
        inputs: int,
        width: int,
        norm: str,
        rows: int = 1,
        image_channels: int = 1,
        code_channels: int = 1,
        code_kernel: int = 4,
        residual_blocks: int = 0,
    ):
        super().__init__()
        steps, self.code_size = plan(image_size, width, code_channels, code_kernel)
        last, *middle, first = steps
        self.code_channels = rows * code_channels
        self.linear1 = nn.Linear(inputs, code_channels * self.code_size**2)
        # The original 158-pixel models have a bias here, vae128 (kernel 5) has none.
        head = _deconvolve(first._replace(narrow=self.code_channels), bias=code_kernel == 4)
        layers = []
        for layer, channels in [
            (head, first.wide),
            *((_deconvolve(step), step.wide) for step in reversed(middle)),
        ]:
            layers += [layer, normalisation(norm, channels), nn.ReLU(inplace=True)]
            layers += _blocks(residual_blocks, channels, norm)
        self.layers = nn.Sequential(*layers, _deconvolve(last._replace(wide=image_channels)))

    def forward(self, rows: Tensor) -> Tensor:
        """Decode rows (N, rows, inputs) to planes (N, image_channels, H, W), no activation."""
        code = self.linear1(rows)
        return self.layers(code.reshape(-1, self.code_channels, self.code_size, self.code_size))


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to their input.

    Source: He et al. 2016, "Identity Mappings in Deep Residual Networks".

    Args:
        channels: of input and output.
        norm: `batch` or `group`.
    """

    def __init__(self, channels: int, norm: str):
        super().__init__()
        layers = []
        for _ in range(2):
            convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            layers += [normalisation(norm, channels), nn.LeakyReLU(0.2, inplace=True), convolution]
        self.layers = nn.Sequential(*layers)

    def forward(self, planes: Tensor) -> Tensor:
        """Map planes (N, channels, H, W) to planes of the same shape."""
        return planes + self.layers(planes)


class Sinh(nn.Module):
    """sinh(softplus(x)): positive, linear where it is faint, exponential where it is bright.

    The softplus is five times as sharp as the usual one: the sky of a stamp has far more pixels
    than a faint galaxy, and light that is slow to vanish would outshine it.
    """

    def forward(self, planes: Tensor) -> Tensor:
        """Map planes of any shape."""
        return nn.functional.softplus(planes, beta=5.0).sinh()


@dataclass
class Original:
    """The networks of the five original models.

    Args:
        code_channels: between the convolutions and the linear layers.
        code_kernel: of the innermost convolution, 4, or 5 as in vae128.

    Raises:
        ValueError: if an argument is out of range.
    """

    code_channels: int = 1
    code_kernel: int = 4
    residual_blocks = 0

    def encoder(self, image_size: int, latent_dim: int, width: int, norm: str, **inputs) -> Encoder:
        """Make the encoder.

        Args:
            image_size: side of the image, px.
            latent_dim: size of the latent.
            width: channels after the first convolution.
            norm: `batch` or `group`.
            **inputs: `image_channels` and `conditions` of `Encoder`.
        """
        return Encoder(image_size, latent_dim, width, norm, **inputs, **self._layers())

    def decoder(self, image_size: int, inputs: int, width: int, norm: str, **planes) -> Decoder:
        """Make the decoder.

        Args:
            image_size: side of the image, px.
            inputs: numbers in a row of its input.
            width: channels before the last convolution.
            norm: `batch` or `group`.
            **planes: `rows` and `image_channels` of `Decoder`.
        """
        return Decoder(image_size, inputs, width, norm, **planes, **self._layers())

    def _layers(self) -> dict[str, int]:
        return {
            "code_channels": self.code_channels,
            "code_kernel": self.code_kernel,
            "residual_blocks": self.residual_blocks,
        }


@dataclass
class Residual(Original):
    """The original networks with residual blocks after each convolution.

    Args:
        code_channels: between the convolutions and the linear layers.
        code_kernel: of the innermost convolution, 4 or 5.
        residual_blocks: after each convolution of encoder and decoder.

    Raises:
        ValueError: if an argument is out of range.
    """

    code_channels: int = 32
    residual_blocks: int = 1

    def __post_init__(self):
        if self.residual_blocks < 1:
            raise ValueError(f"residual_blocks={self.residual_blocks}: it must be positive.")


def _blocks(number: int, channels: int, norm: str) -> list[ResidualBlock]:
    return [ResidualBlock(channels, norm) for _ in range(number)]


def _convolve(step: Convolution) -> nn.Conv2d:
    return nn.Conv2d(*step, bias=False)


def _deconvolve(step: Convolution, bias: bool = False) -> nn.ConvTranspose2d:
    wide, narrow, kernel, stride, padding = step
    return nn.ConvTranspose2d(narrow, wide, kernel, stride, padding, bias=bias)
