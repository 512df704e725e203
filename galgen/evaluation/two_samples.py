"""How alike two samples of galaxies are, by their measured statistics or their features.

A sample is an array (N, D) of statistics, or (N,) of one; `real` is the survey's, `generated` the
model's. Rows with a value that is not finite must be left out, and counted, before.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# scipy and scikit-learn, which take a second, are imported by what computes: other commands read
# the table of metrics alone.

FEWEST = 30
"""Galaxies that a score needs."""
NEIGHBOURS = 5
"""Of precision, recall, density and coverage."""
BLOCK = 1000
"""Points whose distances to all others are held in memory."""
FOLDS = 5
"""Of the classifier's cross-validation."""
LARGEST_KERNEL = 5000
"""Galaxies that the kernel distance compares; it takes memory of the square of the number."""
BOOTSTRAPS = 100
SPLITS = 20
"""Of the real sample into halves, over which the floor is averaged."""


@dataclass
class Score:
    """A score with its sampling interval, and the value for a perfect model."""

    value: float
    low: float
    high: float
    """The value, less and more what 68 % of bootstrap samples scatter by."""
    floor: float
    """The score of real galaxies against other real ones, as many."""


def wasserstein(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> Score:
    """Return the Wasserstein distance of one statistic, in units of the real scatter.

    Args:
        real: (N,).
        generated: (M,).
        seed: of the bootstrap, and of the halves of the floor.

    Returns:
        The distance; its floor is that of two disjoint halves of the real sample, scaled from
        their size to that of the samples by the square root of the numbers.
    """
    from scipy.stats import wasserstein_distance

    rng, scatter = np.random.default_rng(seed), real.std()
    if scatter == 0:
        return Score(np.nan, np.nan, np.nan, np.nan)
    value = wasserstein_distance(real, generated) / scatter
    draws = [
        wasserstein_distance(rng.choice(real, len(real)), rng.choice(generated, len(generated)))
        for _ in range(BOOTSTRAPS)
    ]
    # Bootstrap samples have the scatter of sampling twice, and so lie further apart on the whole.
    low, high = value + (np.percentile(draws, [16, 84]) - np.mean(draws)) / scatter
    floor = floor_of_halves(real, len(generated), wasserstein_distance, seed)
    return Score(value, max(low, 0.0), high, floor / scatter)


def floor_of_halves(
    real: np.ndarray, n: int, distance: Callable[[np.ndarray, np.ndarray], float], seed: int = 0
) -> float:
    """Return the distance to be expected of n other galaxies like the real ones.

    Args:
        real: (N,).
        n: number of the others.
        distance: of two samples; it shrinks with the square root of their numbers.
        seed: of the halves.
    """
    rng, half = np.random.default_rng(seed), len(real) // 2
    apart = []
    for _ in range(SPLITS):
        shuffled = rng.permutation(real)
        apart.append(distance(shuffled[:half], shuffled[half:]))
    shrink = np.sqrt((1 / len(real) + 1 / n) / (1 / half + 1 / (len(real) - half)))
    return float(np.mean(apart) * shrink)


def c2st(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> float:
    """Return the held-out accuracy of a classifier of real against generated; 0.5 is perfect.

    Source: Lopez-Paz & Oquab 2017; gradient-boosted trees, cross-validated, equal numbers.

    Args:
        real: (N, D).
        generated: (M, D).
        seed: of the choice of equal numbers, and of the folds.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rng, n = np.random.default_rng(seed), min(len(real), len(generated))
    chosen = [sample[rng.permutation(len(sample))[:n]] for sample in (real, generated)]
    label = np.repeat([0, 1], n)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    classifier = HistGradientBoostingClassifier(random_state=seed)
    found = cross_val_predict(classifier, np.concatenate(chosen), label, cv=folds)
    return float((found == label).mean())


def neighbourhoods(real: np.ndarray, generated: np.ndarray, k: int = NEIGHBOURS) -> dict:
    """Return precision, recall, density and coverage, of standardised statistics.

    They depend on the numbers of galaxies, of which the larger sample is cut to the smaller.

    Source: Kynkäänniemi et al. 2019; Naeem et al. 2020.

    Args:
        real: (N, D).
        generated: (M, D).
        k: neighbours that define a galaxy's surroundings.

    Returns:
        The four scores by name; 1 is perfect (density can be larger).
    """
    from sklearn.neighbors import NearestNeighbors

    n = min(len(real), len(generated))
    real, generated = standardised(real[:n], generated[:n])
    radius = {}
    for name, sample in (("real", real), ("generated", generated)):
        radius[name] = NearestNeighbors(n_neighbors=k).fit(sample).kneighbors()[0][:, -1]
    inside_real = _inside(generated, real, radius["real"])
    inside_generated = _inside(real, generated, radius["generated"])
    nearest = NearestNeighbors(n_neighbors=1).fit(generated).kneighbors(real)[0][:, 0]
    return {
        "precision": float((inside_real > 0).mean()),
        "recall": float((inside_generated > 0).mean()),
        "density": float(inside_real.mean() / k),
        "coverage": float((nearest <= radius["real"]).mean()),
    }


def _inside(points: np.ndarray, centres: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Count for each point the spheres that it lies in."""
    from scipy.spatial.distance import cdist

    blocks = np.array_split(points, -(-len(points) // BLOCK))
    return np.concatenate([(cdist(block, centres) <= radius).sum(axis=1) for block in blocks])


def frechet(real: np.ndarray, generated: np.ndarray) -> float:
    """Return the Fréchet distance of two samples of features, (N, D) and (M, D).

    Source: Heusel et al. 2017, eq. 6 (the squared distance of two Gaussians).
    """
    from scipy.linalg import sqrtm

    shift = real.mean(axis=0) - generated.mean(axis=0)
    one, two = (np.atleast_2d(np.cov(sample, rowvar=False)) for sample in (real, generated))
    mixed = np.real(sqrtm(one @ two))
    return float(shift @ shift + np.trace(one + two - 2 * mixed))


def kernel_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Return the unbiased squared kernel distance of two samples of features, (N, D) and (M, D).

    The first `LARGEST_KERNEL` of each are compared.

    Source: Bińkowski et al. 2018, cubic polynomial kernel.
    """
    from sklearn.metrics.pairwise import polynomial_kernel

    real, generated = real[:LARGEST_KERNEL], generated[:LARGEST_KERNEL]
    total = 0.0
    for sample in (real, generated):
        kernel, n = polynomial_kernel(sample, degree=3), len(sample)
        total += (kernel.sum() - np.trace(kernel)) / (n * (n - 1))
    return float(total - 2 * polynomial_kernel(real, generated, degree=3).mean())


def memorisation(training: np.ndarray, generated: np.ndarray, held_out: np.ndarray) -> float:
    """Return how much nearer generated galaxies are to training ones than held-out ones are.

    Args:
        training: features (N, D), which are standardised.
        generated: (M, D).
        held_out: (K, D).

    Returns:
        Ratio of the median distances to the nearest training galaxy, generated over held-out; 1
        is perfect, 0 copies.
    """
    from sklearn.neighbors import NearestNeighbors

    training, *others = standardised(training, generated, held_out)
    tree = NearestNeighbors(n_neighbors=1).fit(training)
    generated, held_out = (np.median(tree.kneighbors(sample)[0]) for sample in others)
    return float(generated / held_out) if held_out else np.nan


def standardised(reference: np.ndarray, *samples: np.ndarray) -> list[np.ndarray]:
    """Return samples in units of a reference's scatter around its mean, constant columns left out.

    Args:
        reference: (N, D).
        *samples: (M, D) each.

    Returns:
        The reference and the samples.
    """
    centre, scatter = reference.mean(axis=0), reference.std(axis=0)
    varies = scatter > 1e-9 * max(scatter.max(), 1e-30)
    return [(sample - centre)[:, varies] / scatter[varies] for sample in (reference, *samples)]
