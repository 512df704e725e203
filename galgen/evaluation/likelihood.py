"""How well a model describes held-out galaxies: reconstruction, noise, evidence."""

import itertools
import math

import numpy as np
import torch
from torch import Tensor

from galgen.models.likelihoods import SquaredError, counted_pixels
from galgen.models.posterior import kl_to_standard_normal
from galgen.priors.base import Prior
from galgen.runs.image_facts import PEAK
from galgen.runs.trained_run import TrainedRun

BLOCK = 64
"""Galaxies at a time."""
MAGNITUDES = (0, 22, 23.5, 24.5, 99)
"""Edges of the bins in which the noise is checked."""


def reconstruction(run: TrainedRun, positions: np.ndarray) -> dict[str, float | None]:
    """Compare test galaxies with their reconstructions.

    Args:
        run: the trained run.
        positions: of the galaxies in the test part, (N,).

    Returns:
        Squared error per pixel on the model's scale, that of an all-zero prediction, and the
        correlation of residuals with the next pixel, of all galaxies and the median of each; beside
        it that of the survey's noise, and `reduced_chi2`, also by magnitude, where these are known.
    """
    rows = [
        _residuals(run, positions[start : start + BLOCK])
        for start in range(0, len(positions), BLOCK)
    ]
    error, zero, chi2, product, square = (
        np.concatenate(column) for column in zip(*rows, strict=True)
    )
    found = {
        "squared_error_per_pixel": float(error.mean()),
        "squared_error_of_zero_per_pixel": float(zero.mean()),
        "residual_correlation": float(product.sum() / square.sum()),
        "residual_correlation_median": float(np.median(product / square)),
    }
    table = run.survey.stamps.noise_correlation
    if table is not None:
        padded = np.pad(table, [(0, 0), (0, 0), (0, 1)])
        found["noise_correlation"] = float(
            padded[:, table.shape[1] // 2, table.shape[2] // 2 + 1].mean()
        )
    if np.isfinite(chi2).all():
        found["reduced_chi2"] = float(chi2.mean())
        found["reduced_chi2_median"] = float(np.median(chi2))
    stamps = run.survey.stamps
    if "magnitude" in stamps.columns and "reduced_chi2" in found:
        magnitude = stamps.by_galaxy("magnitude")[run.survey.parts["test"].rows[positions]]
        for low, high in itertools.pairwise(MAGNITUDES):
            inside = (magnitude >= low) & (magnitude < high)
            if inside.any():
                found[f"reduced_chi2_mag_{low}_{high}"] = float(chi2[inside].mean())
    return found


def evidence(
    run: TrainedRun, positions: np.ndarray, priors: list[str], draws: int = 32, seed: int = 0
) -> dict[str, float]:
    """Bound the log-likelihood of test galaxies by importance sampling.

    The squared error with the weight beta is taken as what it is, the likelihood of white noise
    of variance beta / 2.

    Source: Burda, Grosse & Salakhutdinov 2016, eq. 8.

    Args:
        run: the trained run.
        positions: of the galaxies in the test part, (N,).
        priors: in front of the decoder; those that have a density.
        draws: latents of each galaxy.
        seed: of the draws.

    Returns:
        Nats a galaxy: `log_likelihood` under each prior, `elbo` under N(0, 1), and `kl`; nothing
        where the likelihood is none (squared error with beta 0).
    """
    beta = run.model.beta_schedule.beta
    squared = isinstance(run.model.likelihood, SquaredError)
    if squared and not beta > 0:
        return {}
    collected = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for start in range(0, len(positions), BLOCK):
            batch = run.on_device(run.survey.batch("test", positions[start : start + BLOCK]))
            divisor, constant = 1.0, 0.0
            if squared:
                divisor = beta
                constant = 0.5 * math.log(math.pi * beta) * counted_pixels(batch).sum(dim=1)
            collected.append(_weights(run, batch, priors, draws, divisor, constant))
    found, kl = {}, torch.cat([kl for _, kl in collected])
    for prior in priors:
        weights = torch.cat([weights[prior] for weights, _ in collected], dim=1)
        bound = weights.logsumexp(dim=0) - math.log(draws)
        found[f"log_likelihood_{prior}"] = float(bound.mean())
        if prior == "normal":
            found["elbo"] = float(weights.mean())
    return found | {"kl": float(kl.mean())}


def _weights(
    run: TrainedRun, batch, priors: list[str], draws: int, divisor: float, constant: float | Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Return log p(x, latent) - log q(latent | x) of draws, (draws, N) by prior, and the KL."""
    model, weights = run.model, {prior: [] for prior in priors}
    condition = batch.redshift if model.conditional else None
    q = model.encode_batch(batch)
    for _ in range(draws):
        latent = q.sample()
        cost = model.likelihood(model.observe(model.decode(latent, condition), batch), batch)
        cost = cost / divisor + constant
        inside = q.log_prob(latent).sum(dim=1) + cost
        for prior in priors:
            density = log_prior(run.priors[prior], latent, batch.redshift)
            weights[prior].append(density - inside)
    stacked = {prior: torch.stack(columns) for prior, columns in weights.items()}
    return stacked, kl_to_standard_normal(q)


def log_prior(prior: Prior, latent: Tensor, redshift: Tensor | None) -> Tensor:
    """Return the log-density of latents (N, D) under a prior, where at most redshift is known.

    Args:
        prior: of the latents.
        latent: (N, D).
        redshift: (N,), NaN where unknown, or None.
    """
    columns = latent.new_full((len(latent), len(prior.conditions)), torch.nan)
    if redshift is not None and "redshift" in prior.conditions:
        columns[:, prior.conditions.index("redshift")] = redshift
    return prior.log_prob(latent, columns)


def _residuals(run: TrainedRun, positions: np.ndarray) -> tuple[np.ndarray, ...]:
    """Measure residuals of test galaxies: error, zero's, chi2, product with the next, square."""
    batch = run.on_device(run.survey.batch("test", positions))
    weight = torch.ones_like(batch.image) if batch.weight is None else batch.weight
    residual = (batch.image - run.model.reconstruct(batch)).double() * weight
    variance, axes = batch.noise_variance, (1, 2, 3)
    pixels = weight.sum(dim=axes)
    if variance is None or run.unit == PEAK:
        chi2 = torch.full((len(residual),), torch.nan)
    else:
        chi2 = (residual.square() / variance[:, :, None, None]).sum(dim=axes) / pixels
    left, right = residual[..., :-1], residual[..., 1:]
    columns = (
        residual.square().sum(dim=axes) / pixels,
        (batch.image.double().square() * weight).sum(dim=axes) / pixels,
        chi2,
        (left * right).sum(dim=axes),
        left.square().sum(dim=axes),
    )
    return tuple(column.cpu().numpy() for column in columns)
