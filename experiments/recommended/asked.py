"""Do galaxies have the magnitude and the size that one asks for, and which would one tell apart?

`python -m experiments.recommended.asked runs/<name>` writes asked.json and matched.png: galaxies of
the test part beside generated ones of the same redshift, magnitude and size, with the same PSF and
fresh noise; and flux and size of both through a PSF from the ground. The survey needs
`prepare.noiseless=true`.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path

import galsim
import matplotlib.pyplot as plt
import numpy as np

import galgen
from galgen.evaluation.morphology.whole_stamps import half_light_radius
from galgen.evaluation.observation import Observation
from galgen.evaluation.shear import INSTRUMENTS, SIDE
from galgen.models.telescope import on_survey_pixels

HERE = Path(__file__).parent
N = 2000
SHOWN, EDGES = 8, (20, 21, 22, 23, 24)
"""Pairs in a row of the picture, and the magnitudes that its rows begin at."""
BINS = (18, 22, 23.5, 24.5, 26)
"""Magnitudes that are compared with what was asked by themselves."""


def main() -> None:
    """Measure and draw."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m experiments.recommended.asked runs/<name>")
    run = galgen.load(sys.argv[1])
    stamps, rows = run.survey.stamps, run.survey.parts["test"].rows[:N]
    asked = {
        "redshift": stamps.by_galaxy("redshift")[rows],
        "magnitude": stamps.by_galaxy("magnitude")[rows],
        "size": stamps.by_galaxy("flux_radius")[rows],
    }
    light = run.make(len(rows), asked, run.prior_for(None, asked), seed=1, start=0)
    made = on_survey_pixels(light, run.model.oversampling)
    true = stamps.read(rows, run.model.image_size, "psf_free")
    order = np.random.default_rng(0).permutation(len(rows))
    found = {
        "survey": differences(run, true, asked),
        "generated": differences(run, made, asked),
        "shuffled": differences(run, made[order], asked),
        "ground": from_the_ground(made[:, 0], true[:, 0], run.pixel_scale),
    }
    (HERE / "asked.json").write_text(json.dumps({"galaxies": len(rows)} | found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    draw(run, light, asked["magnitude"])


def differences(run, light: np.ndarray, asked: dict[str, np.ndarray]) -> dict:
    """Compare the magnitude and the half-light radius of light (N, 1, H, W) with what was asked."""
    magnitude = run.zero_points[0] - 2.5 * np.log10(light.sum(axis=(1, 2, 3)))
    size = half_light_radius(light[:, 0]) * run.pixel_scale / asked["size"]
    difference = magnitude - asked["magnitude"]
    number = np.digitize(asked["magnitude"], BINS)
    medians = {
        f"{low}-{high}": float(np.median(difference[number == at]))
        for at, (low, high) in enumerate(pairwise(BINS), 1)
    }
    return {
        "magnitude_median": float(np.median(difference)),
        "magnitude_median_by_magnitude": medians,
        "magnitude_scatter": float(np.subtract(*np.percentile(difference, [84, 16])) / 2),
        "size_ratio_median": float(np.median(size)),
        "size_ratio_scatter": float(np.subtract(*np.percentile(size, [84, 16])) / 2),
    }


def from_the_ground(made: np.ndarray, true: np.ndarray, pixel_scale: float) -> dict[str, float]:
    """Compare flux and size (HSM sigma) of light (N, H, W) and the truth's through a PSF of 0.7".

    The errors are of the means' ratio, by the scatter of pairs.
    """
    measured = [np.array([seen(image, pixel_scale) for image in light]) for light in (made, true)]
    both = np.isfinite(measured[0][:, 1]) & np.isfinite(measured[1][:, 1])
    (flux, size), (true_flux, true_size) = (columns[both].T for columns in measured)
    found = {"galaxies": int(both.sum())}
    for name, one, other in (("flux", flux, true_flux), ("size", size, true_size)):
        ratio = one.mean() / other.mean()
        found[name] = float(ratio)
        error = (one - ratio * other).std() / np.sqrt(len(one)) / other.mean()
        found[f"{name}_error"] = float(error)
    return found


def seen(image: np.ndarray, pixel_scale: float) -> tuple[float, float]:
    """Draw light (H, W) from the ground and measure flux and sigma, arcsec; NaN if that fails."""
    instrument = INSTRUMENTS["ground"]
    galaxy = galsim.InterpolatedImage(galsim.Image(image.astype(float), scale=pixel_scale))
    drawn = galsim.Convolve(galaxy, instrument.psf).drawImage(
        nx=int(SIDE / instrument.pixel), ny=int(SIDE / instrument.pixel), scale=instrument.pixel
    )
    moments = galsim.hsm.FindAdaptiveMom(drawn, strict=False)
    sigma = moments.moments_sigma if moments.moments_status == 0 else np.nan
    return float(drawn.array.sum()), sigma * instrument.pixel


def draw(run, light: np.ndarray, magnitude: np.ndarray) -> None:
    """Draw test galaxies above generated ones, the same grey for the same brightness."""
    positions = np.arange(len(light))
    observation = Observation(run)
    seen = observation.generated(light, positions, seed=3)[:, 0]
    real = observation.real("test", positions)[:, 0]
    figure, axes = plt.subplots(2 * len(EDGES), SHOWN, figsize=(SHOWN, 2 * len(EDGES) + 0.4))
    for row, edge in enumerate(EDGES):
        chosen = np.flatnonzero((magnitude >= edge) & (magnitude < edge + 1))[:SHOWN]
        for column, number in enumerate(chosen):
            noise = np.sqrt(observation.variance("test", np.array([number]))[0, 0])
            top = np.arcsinh(real[number].max() / (2 * noise))
            for below, images in enumerate((real, seen)):
                axis = axes[2 * row + below, column]
                shown = np.arcsinh(images[number] / (2 * noise))
                axis.imshow(shown, cmap="gray_r", vmin=-1, vmax=top, origin="lower")
        for below, label in enumerate(("survey", "generated")):
            axes[2 * row + below, 0].set_ylabel(f"{label}\n{edge}-{edge + 1} mag", fontsize=6)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.suptitle(
        "simulated galaxies of the test part, and generated ones of the same magnitude and size",
        fontsize=8,
        y=0.997,
        va="top",
    )
    figure.tight_layout(pad=0.2, rect=(0, 0, 1, 0.985))
    figure.savefig(HERE / "matched.png", dpi=90)


if __name__ == "__main__":
    main()
