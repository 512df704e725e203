"""Networks whose latent is a small map, so that structure has a place in it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from galgen.models.networks import LARGEST, SMALLEST, ResidualBlock, normalisation


def sides(image_size: int, latent_size: int) -> list[int]:
    """Return the sides of the planes from the image to the latent map, px.

    Each is half of the one before, rounded up, as long as that is no smaller than the map.

    Args:
        image_size: side of the image, px.
        latent_size: side of the latent map, px.

    Raises:
        ValueError: if a size is out of range.
    """
    if not SMALLEST <= image_size <= LARGEST:
        raise ValueError(f"image_size={image_size}: the networks take {SMALLEST} to {LARGEST}.")
    if not 2 <= latent_size <= image_size // 4:
        raise ValueError(
            f"network.latent_size={latent_size}: images of {image_size} px have maps of 2 to "
            f"{image_size // 4} px."
        )
    found = [image_size]
    while (found[-1] + 1) // 2 >= latent_size:
        found.append((found[-1] + 1) // 2)
    return found if found[-1] == latent_size else [*found, latent_size]


def widths(levels: int, width: int) -> list[int]:
    """Return the channels of planes from half the image's side down: width, 1.5 width, 2 width."""
    return [8 * max(1, round(width * min(1 + 0.5 * level, 2) / 8)) for level in range(levels)]


class SpatialEncoder(nn.Module):
    """Image planes to the mean and log-variance of a latent map, flattened.

    Args:
        image_size: side of the image, px.
        shape: of the latent map: channels, height, width.
        width: channels after the first convolution.
        norm: `batch` or `group`.
        image_channels: planes of the input.
        conditions: numbers that the last layers see beside the image.
        residual_blocks: at each size.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        image_size: int,
        shape: tuple[int, int, int],
        width: int,
        norm: str,
        image_channels: int = 1,
        conditions: int = 0,
        residual_blocks: int = 1,
    ):
        super().__init__()
        sizes = sides(image_size, shape[1])
        channels = widths(len(sizes) - 1, width)
        layers: list[nn.Module] = []
        inputs = image_channels
        for before, after, outputs in zip(sizes, sizes[1:], channels, strict=False):
            layers += [_shrink(before, after, inputs, outputs)]
            layers += [ResidualBlock(outputs, norm) for _ in range(residual_blocks)]
            inputs = outputs
        layers += [normalisation(norm, inputs), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Conv2d(inputs + conditions, 2 * shape[0], 3, padding=1)

    def forward(self, planes: Tensor, conditions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode planes (N, C, H, W) and conditions (N, K).

        Returns:
            Mean and log-variance of the latent, (N, latent_dim).
        """
        code = self.layers(planes)
        if conditions is not None:
            code = torch.cat([code, _as_planes(conditions, code)], dim=1)
        mean, log_variance = self.head(code).chunk(2, dim=1)
        return mean.flatten(1), log_variance.flatten(1)


class SpatialDecoder(nn.Module):
    """Latent maps to image planes, by interpolation and convolution.

    A transposed convolution would leave its own grid in the images (Odena et al. 2016).

    Args:
        image_size: side of the image, px.
        shape: of the latent map: channels, height, width.
        inputs: numbers in a row of the input: the map and then conditions.
        width: channels at half the image's side.
        norm: `batch` or `group`.
        rows: rows of the input.
        image_channels: planes of the output.
        residual_blocks: at each size.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        image_size: int,
        shape: tuple[int, int, int],
        inputs: int,
        width: int,
        norm: str,
        rows: int = 1,
        image_channels: int = 1,
        residual_blocks: int = 1,
    ):
        super().__init__()
        self.map, self.maps = shape, rows * shape[0]
        sizes = sides(image_size, shape[1])
        channels = widths(len(sizes) - 1, width)
        planes = rows * (shape[0] + inputs - math.prod(shape))
        layers: list[nn.Module] = [nn.Conv2d(planes, channels[-1], 3, padding=1)]
        for level in reversed(range(len(channels))):
            layers += [ResidualBlock(channels[level], norm) for _ in range(residual_blocks)]
            fewer = channels[level - 1] if level else max(8, width // 2)
            layers += [Enlarge(sizes[level], channels[level], fewer)]
        layers += [nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(fewer, image_channels, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, rows: Tensor) -> Tensor:
        """Decode rows (N, rows, inputs) to planes (N, image_channels, H, W), no activation."""
        numbers = math.prod(self.map)
        code = rows[..., :numbers].reshape(-1, self.maps, *self.map[1:])
        if rows.shape[-1] > numbers:
            code = torch.cat([code, _as_planes(rows[..., numbers:].flatten(1), code)], dim=1)
        return self.layers(code)


class Enlarge(nn.Module):
    """Bilinear interpolation to another size, and a convolution.

    Args:
        size: side of the output, px.
        inputs: channels of the input.
        outputs: channels of the output.
    """

    def __init__(self, size: int, inputs: int, outputs: int):
        super().__init__()
        self.size = size
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, planes: Tensor) -> Tensor:
        """Map planes (N, inputs, h, w) to planes (N, outputs, size, size)."""
        size = (self.size, self.size)
        return self.convolution(functional.interpolate(planes, size, mode="bilinear"))


@dataclass
class Spatial:
    """Networks of a latent map with residual blocks.

    The map has as many channels as the size of the latent allows.

    Args:
        latent_size: side of the map, px.
        residual_blocks: at each size.

    Raises:
        ValueError: if an argument is out of range.
    """

    latent_size: int = 8
    residual_blocks: int = 1

    def __post_init__(self):
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"network.{name}={value}: it must be positive.")

    def latent_shape(self, latent_dim: int) -> tuple[int, int, int]:
        """Return the channels, height and width of the map.

        Raises:
            ValueError: if the latent does not fill a map.
        """
        pixels = self.latent_size**2
        if latent_dim % pixels:
            raise ValueError(
                f"latent_dim={latent_dim}: network=spatial makes maps of {self.latent_size} x "
                f"{self.latent_size} px. Give {pixels} for each channel, such as "
                f"model.latent_dim={4 * pixels}."
            )
        return latent_dim // pixels, self.latent_size, self.latent_size

    def encoder(self, latent_dim: int, **sizes) -> SpatialEncoder:
        """Make the encoder; arguments as those of `networks.Original.encoder`."""
        shape = self.latent_shape(latent_dim)
        return SpatialEncoder(shape=shape, residual_blocks=self.residual_blocks, **sizes)

    def decoder(self, inputs: int, **sizes) -> SpatialDecoder:
        """Make the decoder; arguments as those of `networks.Original.decoder`."""
        conditions = inputs % self.latent_size**2  # a few numbers after those of the map
        shape = self.latent_shape(inputs - conditions)
        return SpatialDecoder(
            shape=shape, inputs=inputs, residual_blocks=self.residual_blocks, **sizes
        )


def _shrink(before: int, after: int, inputs: int, outputs: int) -> nn.Module:
    """Halve the sides of planes by a convolution, or bring them to the map's."""
    if after == (before + 1) // 2:
        return nn.Conv2d(inputs, outputs, 3 if before % 2 else 4, stride=2, padding=1)
    return nn.Sequential(nn.AdaptiveAvgPool2d(after), nn.Conv2d(inputs, outputs, 3, padding=1))


def _as_planes(numbers: Tensor, code: Tensor) -> Tensor:
    """Return numbers (N, K) as constant planes (N, K, h, w) beside a code (N, C, h, w)."""
    return numbers[:, :, None, None].to(code.dtype).expand(-1, -1, *code.shape[2:])
