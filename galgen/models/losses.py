"""The terms of a loss."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Loss:
    """Terms of the loss, each averaged over the galaxies of a batch."""

    total: Tensor
    """Sum of the terms, weighted; what is minimised."""
    reconstruction: Tensor
    """Summed over pixels; the likelihood's."""
    kl: Tensor
    """Summed over latent dimensions, nats."""
    redshift: Tensor | None = None
    """Squared error of the predicted redshift, unweighted (fancy_cvae alone)."""
    tempered: Tensor | None = None
    """What training minimises instead of the total, where galaxies differ in weight."""
