"""Morphology by galgen and by statmorph on the same stamps, and how fast it is measured."""

import argparse
import json
import os
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import statmorph
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from experiments.machine import machine
from galgen.data.stamp_file import StampFile
from galgen.evaluation.morphology.galaxy import Galaxy
from galgen.evaluation.morphology.measure import Flag, measure
from galgen.evaluation.morphology.segmentation import detect
from galgen.figures.saving import save

HERE = Path(__file__).parent
GALAXIES = {"real": 100, "simulated": 200}
TIMED = 4000
"""Stamps on which the speed is measured."""
SAME = {
    "gini": "gini",
    "m20": "m20",
    "concentration": "concentration",
    "asymmetry": "asymmetry",
    "smoothness": "smoothness",
    "half_light_radius": "r50",
    "petrosian_radius": "rpetro_circ",
    "snr": "sn_per_pixel",
    "flux": "flux_circ",
}
"""Names here and in statmorph."""


class SameSky(statmorph.SourceMorphology):
    """Statmorph with galgen's measurement of the sky in place of its own box of 32 x 32 px."""

    _sky_asymmetry = None
    _sky_smoothness = None


def main() -> None:
    """Compare, write results.json and comparison.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in GALAXIES:
        parser.add_argument(name, help="stamp file")
    files = vars(parser.parse_args())
    results = {"versions": versions(), "machine": machine(), "surveys": {}, "stamps_per_second": {}}
    pairs = {}
    for name, n in GALAXIES.items():
        images, variance, scale = read(files[name], n)
        pairs[name], results["surveys"][name] = compare(images, variance)
        results["stamps_per_second"][name] = speed(images, variance, scale)
        print(json.dumps(results["surveys"][name], indent=2), results["stamps_per_second"][name])
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    save(scatter(pairs), HERE / "comparison.png")


def read(path: str, n: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Read stamps less the median of their edge, noise variances and the pixel scale."""
    stamps = StampFile(path)
    images = stamps.read(slice(0, n), stamps.size)[:, 0]
    edge = np.ones(images.shape[1:], bool)
    edge[1:-1, 1:-1] = False
    images -= np.median(images[:, edge], axis=1)[:, None, None]
    variance = stamps.columns["noise_variance"][:n, 0].astype(float)
    return images, variance, stamps.attrs["pixel_scale"]


def compare(images: np.ndarray, variance: np.ndarray) -> tuple[dict, dict]:
    """Measure stamps by both; return the numbers, and rank correlations."""
    ours = measure(images, 1, noise_variance=variance, background=0, hsm=False)
    with ProcessPoolExecutor() as pool:
        theirs = list(pool.map(oracle, images, np.sqrt(variance), chunksize=4))
    found = np.array([bool(runs) for runs in theirs])
    plain, same_sky, turned = (
        {name: np.array([runs[kind][name] for runs in theirs if runs]) for name in theirs[0][0]}
        for kind in range(3)
    )
    meaningful = (plain["flag"] <= 1) & (plain["sn_per_pixel"] > 2.5)
    inside = (ours["flag"][found] & Flag.EDGE) == 0
    table = {}
    for name, other in SAME.items():
        mine = ours[name][found]
        with_their_sky = {
            "statmorph": (mine, plain[other]),
            "statmorph_same_sky": (mine, same_sky[other]),
            "statmorph_with_itself_turned": (plain[other], turned[other]),
        }
        table[name] = {}
        for label, (one, two) in with_their_sky.items():
            good = np.isfinite(one) & (one != -99) & (two != -99)
            for subset, rows in (
                ("all", good),
                ("meaningful", good & meaningful),
                ("meaningful_inside", good & meaningful & inside),
            ):
                table[name][f"{label}, {subset}"] = round(
                    float(spearmanr(one[rows], two[rows]).statistic), 3
                )
        difference = np.abs(mine - plain[other])[meaningful & np.isfinite(mine)]
        table[name]["median_difference, meaningful"] = float(np.median(difference))
    facts = {
        "galaxies": len(images),
        "not_found": int((~found).sum()),
        "meaningful": int(meaningful.sum()),
        "meaningful_inside": int((meaningful & inside).sum()),
        "asymmetry_lower_by_0.01": lower(ours["asymmetry"][found], same_sky["asymmetry"]),
        "asymmetry_higher_by_0.01": lower(same_sky["asymmetry"], ours["asymmetry"][found]),
    }
    pairs = {name: (ours[name][found], same_sky[other], meaningful) for name, other in SAME.items()}
    return pairs, {**facts, "rank_correlation": table}


def lower(one: np.ndarray, other: np.ndarray) -> int:
    """Count the galaxies whose asymmetry is lower by more than 0.01."""
    return int((one < other - 0.01).sum())


def oracle(image: np.ndarray, noise: float) -> tuple[dict, dict, dict] | None:
    """Measure a stamp by statmorph: as it is, with galgen's sky, and turned by 180 degrees.

    Its segmentation map is galgen's.
    """
    with threadpool_limits(1), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        segments, own = detect(image, noise)
        if not own:
            return None
        sky = Galaxy(image, segments, own).statistics()
        SameSky._sky_asymmetry = sky["sky_asymmetry"]
        SameSky._sky_smoothness = sky.get("sky_smoothness", 0.0)
        segments = np.where(segments == own, 1, np.where(segments > 0, segments + 1, 0))
        sigma = np.full(image.shape, noise)
        turned = (image[::-1, ::-1].copy(), segments[::-1, ::-1].copy(), 1)
        runs = (
            statmorph.SourceMorphology(image, segments, 1, weightmap=sigma),
            SameSky(image, segments, 1, weightmap=sigma),
            statmorph.SourceMorphology(*turned, weightmap=sigma),
        )
    return tuple({name: float(run[name]) for name in ("flag", *SAME.values())} for run in runs)


def speed(images: np.ndarray, variance: np.ndarray, scale: float) -> dict[str, float]:
    """Time the measurement of TIMED stamps: the best of three, the processes running by then."""
    many = np.resize(images, (TIMED, *images.shape[1:]))
    variances, rates = np.resize(variance, TIMED), {}
    for hsm in (False, True):
        for processes in (1, None):
            spent = []
            for _ in range(3):
                started = time.perf_counter()
                measure(many, scale, 25.94, variances, hsm=hsm, processes=processes)
                spent.append(time.perf_counter() - started)
            label = f"{'with' if hsm else 'without'} adaptive moments, "
            label += "one process" if processes else "all cores"
            rates[label] = round(TIMED / min(spent))
    return {"side": images.shape[1], "load_average": os.getloadavg()[0], **rates}


def scatter(pairs: dict) -> plt.Figure:
    """Plot what both measure against each other."""
    figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
    for axis, name in zip(axes.flat, SAME, strict=False):
        for survey, marker in (("simulated", "."), ("real", "^")):
            ours, theirs, meaningful = pairs[survey][name]
            for rows, alpha in ((~meaningful, 0.25), (meaningful, 0.9)):
                label = f"{survey}, {'S/N > 2.5' if alpha > 0.5 else 'fainter'}"
                axis.plot(
                    *(theirs[rows], ours[rows], marker),
                    **{"color": "C0" if survey == "real" else "C1", "alpha": alpha, "ms": 4},
                    label=label,
                )
        good = np.concatenate([pairs[s][name][0] for s in pairs])
        ends = np.nanquantile(good, [0.005, 0.995])
        margin = 0.1 * np.ptp(ends)
        limits = (ends[0] - margin, ends[1] + margin)
        axis.plot(limits, limits, "k-", lw=0.5)
        axis.set(title=name.replace("_", " "), xlim=limits, ylim=limits)
    axes[0, 0].legend(fontsize=7)
    figure.supxlabel("statmorph, with galgen's sky")
    figure.supylabel("galgen")
    return figure


def versions() -> dict[str, str]:
    """Return versions of what the numbers depend on."""
    return {name: version(name) for name in ("statmorph", "galsim", "numpy", "scipy", "photutils")}


if __name__ == "__main__":
    main()
