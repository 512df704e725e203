"""The posterior of an encoder, and its KL."""

from torch import Tensor
from torch.distributions import Normal

LOG_VARIANCE = (-20.0, 10.0)
"""Bounds of the posterior's log-variance; without them the KL of the first steps overflows."""


def posterior(mean: Tensor, log_variance: Tensor) -> Normal:
    """Make the posterior of a mean and a clamped log-variance, each (N, latent_dim), in float32."""
    std = (0.5 * log_variance.float().clamp(*LOG_VARIANCE)).exp()
    return Normal(mean.float(), std, validate_args=False)


def kl_to_standard_normal(q: Normal) -> Tensor:
    """Return KL(q || N(0, 1)) of each galaxy in nats, (N, latent_dim) to (N,).

    Source: Kingma & Welling 2014, appendix B.
    """
    variance = q.stddev.square()
    return 0.5 * (q.mean.square() + variance - variance.log() - 1).sum(dim=1)
