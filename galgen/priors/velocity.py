"""The network of flow matching: a transformer over the patches of a latent map."""

import torch
from torch import Tensor, nn
from torch.nn import functional

FASTEST = 500.0
"""Radians for each radian of the angle, of the fastest wave that says it; the slowest has one."""
CONDITION_WAVES = (0.5, 1.0, 2.0)
"""Radians for each unit of a condition, of the sines and cosines that say it to the network."""


class Velocity(nn.Module):
    """Velocity of latents at an angle of their path, given conditions.

    A map is cut into patches, the tokens of a transformer; a vector, alone or beside a map, is one
    token. Angle and conditions scale and shift the tokens in every block.

    Source: Peebles & Xie 2023 (DiT with adaLN-Zero).

    Args:
        shape: of the latent's map: channels, height, width; None of a vector.
        vector: numbers of the latent beside the map.
        context: numbers that say the conditions.
        patch: side of a patch, px.
        width: numbers of a token.
        depth: blocks.
        heads: of the attention.

    Raises:
        ValueError: if the sizes do not go together.
    """

    def __init__(
        self,
        shape: tuple[int, int, int] | None,
        vector: int,
        context: int,
        patch: int = 2,
        width: int = 128,
        depth: int = 6,
        heads: int = 4,
    ):
        super().__init__()
        if min(patch, width, depth, heads) < 1 or width % (2 * heads):
            raise ValueError(
                f"patch ({patch}), depth ({depth}) and heads ({heads}) must be positive, and width "
                f"({width}) a multiple of twice the heads"
            )
        self.shape, self.vector, self.patch, self.width = shape, vector, patch, width
        self.tokens = 0
        if shape is not None:
            channels, height, side = shape
            if height % patch or side % patch:
                raise ValueError(
                    f"patch={patch}: it must divide the map's sides, {height} x {side}."
                )
            self.tokens = (height // patch) * (side // patch)
            self.enter_map = nn.Linear(channels * patch**2, width)
            self.leave_map = linear_from_zero(width, channels * patch**2)
        if vector:
            self.enter_vector = nn.Linear(vector, width)
            self.leave_vector = linear_from_zero(width, vector)
        self.place = nn.Parameter(0.02 * torch.randn(self.tokens + bool(vector), width))
        ratio = torch.linspace(0, 1, width // 2)
        self.register_buffer("angle_waves", FASTEST**ratio, persistent=False)
        self.register_buffer("condition_waves", torch.tensor(CONDITION_WAVES), persistent=False)
        numbers = width + context * (1 + 2 * len(CONDITION_WAVES))
        self.about = nn.Sequential(
            nn.Linear(numbers, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.last = linear_from_zero(width, 2 * width)

    def forward(self, latent: Tensor, angle: Tensor, context: Tensor) -> Tensor:
        """Return the velocities (N, latent_dim).

        Args:
            latent: (N, latent_dim), the map and then the vector.
            angle: radians, from 0 (noise) to pi / 2 (latents), (N,).
            context: (N, context).
        """
        numbers = (waves(angle[:, None], self.angle_waves), context)
        about = self.about(torch.cat([*numbers, waves(context, self.condition_waves)], dim=1))
        tokens = self._tokens(latent) + self.place
        for block in self.blocks:
            tokens = block(tokens, about)
        scale, shift = self.last(about)[:, None].chunk(2, dim=2)
        tokens = functional.layer_norm(tokens, (self.width,)) * (1 + scale) + shift
        return self._latent(tokens)

    def _tokens(self, latent: Tensor) -> Tensor:
        """Make tokens (N, tokens, width) of the map and of the vector."""
        flat, vector = latent.tensor_split([latent.shape[1] - self.vector], dim=1)
        tokens = []
        if self.tokens:
            planes = flat.reshape(-1, *self.shape)
            patches = functional.unfold(planes, self.patch, stride=self.patch)
            tokens.append(self.enter_map(patches.transpose(1, 2)))
        if self.vector:
            tokens.append(self.enter_vector(vector)[:, None])
        return torch.cat(tokens, dim=1)

    def _latent(self, tokens: Tensor) -> Tensor:
        """Make latents (N, latent_dim) of tokens (N, tokens, width)."""
        latent = []
        if self.tokens:
            patches = self.leave_map(tokens[:, : self.tokens]).transpose(1, 2)
            planes = functional.fold(patches, self.shape[1:], self.patch, stride=self.patch)
            latent.append(planes.flatten(1))
        if self.vector:
            latent.append(self.leave_vector(tokens[:, self.tokens]))
        return torch.cat(latent, dim=1)


class Block(nn.Module):
    """Attention and a perceptron; angle and conditions scale and shift the input of each.

    Args:
        width: numbers of a token.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.width, self.heads = width, heads
        self.modulation = linear_from_zero(width, 6 * width)
        self.attention = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor, about: Tensor) -> Tensor:
        """Map tokens (N, T, width) of galaxies with a description (N, width)."""
        scale1, shift1, gate1, scale2, shift2, gate2 = self.modulation(about)[:, None].chunk(6, 2)
        tokens = tokens + gate1 * self._attend(self._normalised(tokens) * (1 + scale1) + shift1)
        modulated = self._normalised(tokens) * (1 + scale2) + shift2
        return tokens + gate2 * self.perceptron(modulated)

    def _normalised(self, tokens: Tensor) -> Tensor:
        return functional.layer_norm(tokens, (self.width,))

    def _attend(self, tokens: Tensor) -> Tensor:
        n, count, _ = tokens.shape
        parts = self.attention(tokens).reshape(n, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*parts)
        return self.mix(mixed.transpose(1, 2).reshape(n, count, self.width))


def linear_from_zero(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear layer whose output is zero until it has learned."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def waves(numbers: Tensor, frequencies: Tensor) -> Tensor:
    """Return sines and cosines of numbers (N, K) times frequencies (F,), (N, 2 K F)."""
    phases = (numbers[:, :, None] * frequencies).flatten(1)
    return torch.cat([phases.sin(), phases.cos()], dim=1)
