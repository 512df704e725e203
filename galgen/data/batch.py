"""A batch of galaxies, and how several processes share it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor


class Share(NamedTuple):
    """The galaxies of a batch that one process has: every ranks-th, from its rank."""

    rank: int
    ranks: int
    total: int
    """Galaxies of the whole batch."""

    @property
    def galaxies(self) -> int:
        """Number of galaxies in the share; 0 where the process got one only to take part."""
        return len(range(self.rank, self.total, self.ranks))

    @property
    def weight(self) -> float:
        """Weight of the share's mean in a plain average over the processes."""
        return self.galaxies * self.ranks / self.total


@dataclass
class Batch:
    """A batch of N galaxies as models and likelihoods see it."""

    image: Tensor
    """(N, B, H, W), float32."""
    index: Tensor
    """(N,), row in the stamp file."""
    redshift: Tensor | None = None
    """(N,)"""
    noise: Tensor | None = None
    """(N, B), standard deviation of a pixel, in the file's unit; its square may overflow."""
    noise_variance: Tensor | None = None
    """(N, B), of a pixel on the model's scale, after the transform."""
    noise_correlation: Tensor | None = None
    """(B, h, w), correlation of the survey's noise by offset, 1 in the middle."""
    background: Tensor | None = None
    """(N, B), level that the peak transform subtracts, in the file's unit."""
    psf: Tensor | None = None
    """(N, B, h, w), sums to 1."""
    weight: Tensor | None = None
    """(N, B, H, W), 0 where a pixel is not to count, else 1; a galaxy may lack a whole band."""
    share: Share = None
    """This process's share of the batch; where None is given, the process has all of it."""

    def __post_init__(self):
        if self.share is None:
            self.share = Share(0, 1, len(self.index))

    def pin_memory(self) -> "Batch":
        """Move the tensors to memory that a GPU reads on its own."""
        return self._of_each(Tensor.pin_memory)

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on a device."""
        alone = torch.device(device).type == "cuda"  # it reads pinned memory on its own
        return self._of_each(lambda tensor: tensor.to(device, non_blocking=alone))

    def _of_each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: change(tensor) for name, tensor in tensors.items()})
