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


MARGIN = 2
"""Pixels, an even number, by which a decoder's planes go on beyond each edge of the stamp.

Convolutions take what is beyond the edge of a plane for zero, which would frame a galaxy there."""


class SpatialEncoder(nn.Module):
    """Image planes to the mean and log-variance of a latent: a map, flattened, and a vector.

    Args:
        image_size: side of the image, px.
        shape: of the latent map: channels, height, width.
        vector: numbers beside the map.
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
        vector: int,
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
        self.whole = None
        if vector:
            self.whole = nn.Linear((inputs + conditions) * shape[1] * shape[2], 2 * vector)

    def forward(self, planes: Tensor, conditions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode planes (N, C, H, W) and conditions (N, K).

        Returns:
            Mean and log-variance of the latent, (N, latent_dim).
        """
        code = self.layers(planes)
        if conditions is not None:
            code = torch.cat([code, _as_planes(conditions, code)], dim=1)
        mean, log_variance = (half.flatten(1) for half in self.head(code).chunk(2, dim=1))
        if self.whole is None:
            return mean, log_variance
        further = self.whole(code.flatten(1)).chunk(2, dim=1)
        return torch.cat([mean, further[0]], dim=1), torch.cat([log_variance, further[1]], dim=1)


class SpatialDecoder(nn.Module):
    """Latents to image planes, by interpolation and convolution.

    A transposed convolution would leave its own grid in the images (Odena et al. 2016).

    Args:
        image_size: side of the image, px.
        shape: of the latent map: channels, height, width.
        vector: numbers of the latent beside the map.
        inputs: numbers in a row of the input: the map, the vector and then conditions.
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
        vector: int,
        inputs: int,
        width: int,
        norm: str,
        rows: int = 1,
        image_channels: int = 1,
        residual_blocks: int = 1,
    ):
        super().__init__()
        self.map, self.maps, self.vector = shape, rows * shape[0], vector
        sizes = sides(image_size, shape[1])
        channels = widths(len(sizes) - 1, width)
        planes = rows * (shape[0] + inputs - vector - math.prod(shape))
        self.enter = nn.Conv2d(planes, channels[-1], 3, padding=1)
        self.whole = None
        if vector:
            self.whole = nn.Linear(rows * vector, channels[-1] * shape[1] * shape[2])
        layers: list[nn.Module] = []
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
        vector, conditions = rows[..., numbers:].tensor_split([self.vector], dim=2)
        if conditions.numel():
            code = torch.cat([code, _as_planes(conditions.flatten(1), code)], dim=1)
        code = self.enter(code)
        if self.whole is not None:
            code = code + self.whole(vector.flatten(1)).reshape(code.shape)
        planes = self.layers(_with_margins(code))
        return planes[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]


class Enlarge(nn.Module):
    """Bilinear interpolation to about twice the size, and a convolution; margins keep their width.

    Args:
        size: side of the stamp in the output, px.
        inputs: channels of the input.
        outputs: channels of the output.
    """

    def __init__(self, size: int, inputs: int, outputs: int):
        super().__init__()
        self.size = size + 2 * MARGIN
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, planes: Tensor) -> Tensor:
        """Map planes (N, inputs, h, w) to planes (N, outputs, H, W), with their margins."""
        cut, size = MARGIN // 2, (self.size, self.size)
        planes = planes[:, :, cut:-cut, cut:-cut]
        return self.convolution(functional.interpolate(planes, size, mode="bilinear"))


@dataclass
class Spatial:
    """Networks with residual blocks whose latent is a map and a vector.

    What concerns the galaxy as a whole, such as its shape, has a place in the vector. The map has
    as many channels as the size of the latent allows.

    Args:
        latent_size: side of the map, px.
        vector: numbers of the latent beside the map; 0 for a map alone.
        residual_blocks: at each size.

    Raises:
        ValueError: if an argument is out of range.
    """

    latent_size: int = 8
    vector: int = 0
    residual_blocks: int = 1

    def __post_init__(self):
        for name in ("latent_size", "residual_blocks"):
            if getattr(self, name) < 1:
                raise ValueError(f"network.{name}={getattr(self, name)}: it must be positive.")
        if self.vector < 0:
            raise ValueError(f"network.vector={self.vector}: it must not be negative.")

    def latent_shape(self, latent_dim: int) -> tuple[int, int, int]:
        """Return the channels, height and width of the map.

        Raises:
            ValueError: if the latent does not fill a map.
        """
        pixels = self.latent_size**2
        channels, remainder = divmod(latent_dim - self.vector, pixels)
        if channels < 1 or remainder:
            raise ValueError(
                f"latent_dim={latent_dim}: network=spatial makes maps of {self.latent_size} x "
                f"{self.latent_size} px and {self.vector} numbers beside them. Give {pixels} for "
                f"each channel and {self.vector}, such as "
                f"model.latent_dim={4 * pixels + self.vector}."
            )
        return channels, self.latent_size, self.latent_size

    def encoder(self, latent_dim: int, **sizes) -> SpatialEncoder:
        """Make the encoder; arguments as those of `networks.Original.encoder`."""
        shape = self.latent_shape(latent_dim)
        return SpatialEncoder(
            shape=shape, vector=self.vector, residual_blocks=self.residual_blocks, **sizes
        )

    def decoder(self, inputs: int, **sizes) -> SpatialDecoder:
        """Make the decoder; arguments as those of `networks.Original.decoder`."""
        conditions = (inputs - self.vector) % self.latent_size**2  # a few numbers at the end
        return SpatialDecoder(
            shape=self.latent_shape(inputs - conditions),
            vector=self.vector,
            inputs=inputs,
            residual_blocks=self.residual_blocks,
            **sizes,
        )


def _shrink(before: int, after: int, inputs: int, outputs: int) -> nn.Module:
    """Halve the sides of planes by a convolution, or bring them to the map's."""
    if after == (before + 1) // 2:
        return nn.Conv2d(inputs, outputs, 3 if before % 2 else 4, stride=2, padding=1)
    return nn.Sequential(nn.AdaptiveAvgPool2d(after), nn.Conv2d(inputs, outputs, 3, padding=1))


def _with_margins(planes: Tensor) -> Tensor:
    """Repeat the outermost pixels of planes (N, C, h, w) beyond each edge.

    As `functional.pad` does, whose gradient torch 2.13 cannot compile on a CPU.
    """
    for dim in (2, 3):
        first, last = planes.narrow(dim, 0, 1), planes.narrow(dim, -1, 1)
        planes = torch.cat([*MARGIN * [first], planes, *MARGIN * [last]], dim)
    return planes


def _as_planes(numbers: Tensor, code: Tensor) -> Tensor:
    """Return numbers (N, K) as constant planes (N, K, h, w) beside a code (N, C, h, w)."""
    return numbers[:, :, None, None].to(code.dtype).expand(-1, -1, *code.shape[2:])
