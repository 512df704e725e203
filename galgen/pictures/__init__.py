"""What is drawn of a run: which galaxies, latents or curves go into which figure."""

from galgen.pictures.galaxies import Interpolation, Reconstruction, Samples, decode_at
from galgen.pictures.latent_space import Latent, Traversal
from galgen.pictures.losses import Losses

__all__ = [
    "Interpolation",
    "Latent",
    "Losses",
    "Reconstruction",
    "Samples",
    "Traversal",
    "decode_at",
]
