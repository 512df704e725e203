"""A mixture of Gaussians over latents."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributions import Normal

from galgen.priors.base import Posteriors, Prior


class GaussianMixture(Prior):
    """Mixture of full-covariance Gaussians, of latents and conditions together.

    Given conditions, each component is the Gaussian of the latent that they leave.

    Source: Bishop 2006, "Pattern Recognition and Machine Learning", section 2.3.

    Args:
        latent_dim: size of the latent.
        conditions: names of the numbers that it is conditional on, none of which may be unknown.
        required: all of them.
        components: number of Gaussians.

    Raises:
        ValueError: if there is no component.
    """

    label = "mixture"
    takes_unknown = False

    def __init__(
        self,
        latent_dim: int,
        conditions: Sequence[str] = (),
        required: int = 0,
        components: int = 32,
    ):
        super().__init__(latent_dim, conditions, required)
        if components < 1:
            raise ValueError(f"components={components}: it must be positive.")
        self.components = components
        self.noise_dim = latent_dim + 1
        side = latent_dim + required
        self.register_buffer("log_weight", torch.full((components,), -math.log(components)))
        self.register_buffer("mean", torch.zeros(components, side))
        self.register_buffer("covariance", torch.eye(side).repeat(components, 1, 1))

    def fit(self, train: Posteriors, val: Posteriors, seed: int, trainer: Callable) -> None:
        """Fit the mixture by expectation maximisation; arguments as `Prior.fit`.

        Raises:
            ValueError: if there are fewer samples than components.
        """
        latent, conditions = train.sample, train.conditions
        if len(latent) < max(2, self.components):
            raise ValueError(f"components={self.components}: too many for {len(latent)} samples")
        from sklearn.mixture import GaussianMixture as Fit  # slow to import, needed here alone

        joint = torch.cat([latent, conditions[:, : self.required]], dim=1).double()
        shift, scale = joint.mean(dim=0), joint.std(dim=0).clamp_min(1e-6)
        fit = Fit(self.components, reg_covar=1e-4, max_iter=200, random_state=seed % 2**32)
        fit.fit(((joint - shift) / scale).numpy())
        self.log_weight.copy_(torch.from_numpy(fit.weights_).log())
        self.mean.copy_(torch.from_numpy(fit.means_) * scale + shift)
        self.covariance.copy_(torch.from_numpy(fit.covariances_) * torch.outer(scale, scale))

    def log_prob(self, latent: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return the log-density of latents (N, latent_dim), nats, (N,)."""
        log_weight, mean, scatter = self._given(conditions, len(latent))
        away = (latent[:, None] - mean).double()[..., None]
        white = torch.linalg.solve_triangular(scatter.double(), away, upper=False)[..., 0]
        size = scatter.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
        constant = 0.5 * self.latent_dim * math.log(2 * math.pi)
        density = log_weight - 0.5 * white.square().sum(dim=2) - size - constant
        return density.logsumexp(dim=1)

    def forward(self, noise: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return latents (N, latent_dim) of standard normal noise, row by row.

        Args:
            noise: (N, latent_dim + 1); the last number chooses the component.
            conditions: (N, conditions).
        """
        log_weight, mean, scatter = self._given(conditions, len(noise))
        reached = log_weight.exp().cumsum(dim=1)
        chance = Normal(0.0, 1.0).cdf(noise[:, -1:]) * reached[:, -1:]
        chosen = (reached < chance).sum(dim=1).clamp_max(self.components - 1)
        row = torch.arange(len(noise), device=noise.device)
        return mean[row, chosen] + (scatter[chosen] @ noise[:, :-1, None])[..., 0]

    def _given(self, conditions: Tensor | None, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Condition the mixture on the required conditions.

        Returns:
            Log-weights (N, K) and means (N, K, D) of the components for each row, and the Cholesky
            factors of their covariances, (K, D, D).
        """
        d = self.latent_dim
        within = self.covariance[:, :d, :d].double()
        if not self.required:
            factor = torch.linalg.cholesky(within).float()
            return self.log_weight.expand(n, -1), self.mean.expand(n, -1, -1), factor
        across = self.covariance[:, :d, d:].double()
        factor = torch.linalg.cholesky(self.covariance[:, d:, d:].double())
        away = conditions[:, None, : self.required] - self.mean[:, d:]
        white = torch.linalg.solve_triangular(factor, away.double()[..., None], upper=False)
        size = factor.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
        log_weight = self.log_weight - 0.5 * white.square().sum(dim=(2, 3)) - size
        gain = torch.linalg.solve_triangular(factor, across.mT, upper=False).mT
        mean = self.mean[:, :d] + (gain @ white)[..., 0]
        left = torch.linalg.cholesky(within - gain @ gain.mT).float()
        return log_weight.log_softmax(dim=1).float(), mean.float(), left
