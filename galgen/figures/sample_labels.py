"""How figures call priors, and the samples of an evaluation."""

from collections.abc import Iterable

PRIORS = {
    "normal": "N(0, 1)",
    "flow": "the flow over latents",
    "gmm": "a mixture of Gaussians",
    "two_stage": "a second VAE",
}
"""What generated galaxies are drawn from."""
SAMPLES = {
    "real": "survey",
    "normal": "prior N(0, 1)",
    "gmm": "prior: mixture",
    "two_stage": "prior: second VAE",
    "flow": "prior: flow",
    "posterior": "posterior samples",
    "sersic": "Sérsic profiles",
}


def label_samples(names: Iterable[str]) -> dict[str, str]:
    """Return the labels of an evaluation's samples by name, in the order of the names.

    Args:
        names: of the samples.
    """
    return {name: SAMPLES[name] for name in names}
