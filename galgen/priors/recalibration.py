"""Normal scores of known values, brought to a normal distribution."""

import numpy as np
from scipy.optimize import minimize

UNCHANGED = (0.0, 0.0, 0.0, 0.0)
"""Parameters that leave scores as they are."""
FEWEST, FEWEST_FOR_ALL = 20, 100
"""Scores that a scale and that all four parameters are found from, at least."""


def recalibrated(scores: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Transform scores by sinh-arcsinh, which keeps their order.

    Source: Jones & Pewsey 2009, with a place and a scale before.

    Args:
        scores: of any shape.
        parameters: place, log of the scale, skewness, log of the weight of the tails; (4,).
    """
    place, log_scale, skewness, log_tails = parameters
    standard = (scores - place) / np.exp(log_scale)
    return np.sinh(np.exp(log_tails) * np.arcsinh(standard) - skewness)


def recalibration(scores: np.ndarray) -> np.ndarray:
    """Return the parameters that bring scores closest to N(0, 1), (4,).

    It is a scale alone, unless the likelihood rises by more with all four than chance would have it
    (the criterion of Schwarz 1978). A few scores say nothing.

    Args:
        scores: those that should be standard normal, (N,), finite.
    """
    if len(scores) < FEWEST or not scores.any():
        return np.array(UNCHANGED)
    scale = np.array([0, 0.5 * np.log(np.square(scores).mean()), 0, 0])
    if len(scores) < FEWEST_FOR_ALL:
        return scale
    all_four = minimize(_cost, scale, args=(scores,), method="BFGS").x
    gain = len(scores) * (_cost(scale, scores) - _cost(all_four, scores))
    chosen = np.isfinite(all_four).all() and gain > 1.5 * np.log(len(scores))
    return all_four if chosen else scale


def _cost(parameters: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean negative log-likelihood of scores, but for a constant."""
    place, log_scale, skewness, log_tails = parameters
    standard = (scores - place) / np.exp(log_scale)
    angle = np.exp(log_tails) * np.arcsinh(standard) - skewness
    slope = np.log(np.cosh(angle)) + log_tails - 0.5 * np.log1p(standard**2) - log_scale
    return float((0.5 * np.sinh(angle) ** 2 - slope).mean())
