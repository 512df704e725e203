"""Compare simulated galaxies with real ones of COSMOS: moments, structure, and a sheet of both.

python experiments/simulated_survey/measure.py <stamp file of real galaxies>
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import galsim
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import wasserstein_distance

from galgen.data.stamp_file import StampFile
from galgen.data.surveys.cosmos_noise import PIXEL_SCALE, cosmos_variance
from galgen.data.surveys.simulated import population
from galgen.data.surveys.simulated.simulated_source import SimulatedSource
from galgen.data.surveys.simulated.telescopes import draw_noise
from galgen.evaluation.morphology.measure import measure
from galgen.evaluation.power import power_spectrum
from galgen.figures.saving import save

GALAXIES, POOL = 3000, 6000
BAND = "F814W"
MATCHES = 20
"""Simulated galaxies for each real one, the nearest in magnitude."""
STATISTICS = (
    *("half_light_radius", "concentration", "asymmetry", "smoothness", "gini", "m20"),
    *("sigma", "ellipticity"),
)
WAVELENGTHS = ((48, 16), (16, 8), (8, 4))
"""Ranges of wavelengths, px."""
BRIGHT = 24.2
"""Magnitude of the faintest galaxies whose residuals say something."""
SHOWN = 100
HERE = Path(__file__).parent


def moments() -> dict[str, float]:
    """Measure size (arcsec) and ellipticity |g| of simulated galaxies, 158 px, by HSM."""
    survey, _ = SimulatedSource(GALAXIES, 158, BAND).draw(range(GALAXIES))
    found = [
        galsim.hsm.FindAdaptiveMom(galsim.Image(image[0].astype(float)), strict=False)
        for image in survey["image"]
    ]
    good = [each for each in found if not each.error_message]
    sigma = PIXEL_SCALE * np.array([each.moments_sigma for each in good])
    g = np.array([each.observed_shape.g for each in good])
    return {
        "galaxies": GALAXIES,
        "failed": GALAXIES - len(good),
        "mean_sigma_arcsec": sigma.mean(),
        "mean_g": g.mean(),
        "std_g": g.std(),
    }


def matched(real: StampFile, structure: bool) -> tuple[np.ndarray, np.ndarray]:
    """Draw simulated galaxies, as faint as the real ones, and match MATCHES to each in magnitude.

    Returns:
        Images (galaxies, MATCHES, H, W), and their statistics by name (galaxies, MATCHES).
    """
    source = SimulatedSource(POOL, real.size, BAND, seed=1, structure=structure)
    deeper = {"FAINTEST": real.by_galaxy("magnitude").max(), "FAINTEST_SIGNAL": 6.0}
    with mock.patch.multiple(population, **deeper):
        survey, _ = source.draw(range(POOL))
    far = np.abs(survey["magnitude"][:, 0] - real.by_galaxy("magnitude")[:, None])
    rows = np.empty((len(real), MATCHES), int)
    for number, row in enumerate(far):
        rows[number] = np.argsort(row)[:MATCHES]
        far[:, rows[number, 0]] = np.inf  # each is shown once
    images = survey["image"][rows, 0]
    found = measure(images.reshape(-1, real.size, real.size), PIXEL_SCALE)
    return images, {name: found[name].reshape(rows.shape) for name in STATISTICS}


def residual_power(images: np.ndarray) -> list[float]:
    """Return the median power of a galaxy minus itself turned by 180 degrees, by WAVELENGTHS.

    It is in units of the variance of noise that is uncorrelated between a pixel and its opposite.
    """
    residuals = (images - images[:, ::-1, ::-1]) / np.sqrt(2 * cosmos_variance())
    wavenumber, power = power_spectrum(residuals)
    bands = [(wavenumber > 1 / long) & (wavenumber <= 1 / short) for long, short in WAVELENGTHS]
    return [float(np.median(power[:, band].mean(axis=1))) for band in bands]


def compare(real: StampFile) -> dict:
    """Compare the structure of real galaxies with that of simulated ones, smooth or not."""
    images = real.read(slice(0, len(real)), real.size)[:, 0]
    bright = real.by_galaxy("magnitude") < BRIGHT
    found = measure(images, PIXEL_SCALE)
    table = {name: {"real": quantiles(found[name])} for name in STATISTICS}
    power = {"real": residual_power(images[bright])}
    for survey, structure in (("structure", True), ("smooth", False)):
        drawn, statistics = matched(real, structure)
        for name in STATISTICS:
            table[name][survey] = quantiles(statistics[name])
            table[name][f"{survey}, W1/sigma"] = distance(found[name], statistics[name])
        power[survey] = residual_power(drawn[bright].reshape(-1, real.size, real.size))
        if structure:
            draw_sheet(images, drawn[:, 0], real.by_galaxy("magnitude"))
            half = np.arange(len(images)) % 2 == 0
            for name in STATISTICS:
                table[name]["real halves, W1/sigma"] = distance(
                    found[name][half], found[name][~half]
                )
    noise = draw_noise([BAND], real.size * 8, galsim.BaseDeviate(1))[0]
    blocks = noise.reshape(8, real.size, 8, real.size).swapaxes(1, 2)
    power["noise"] = residual_power(blocks.reshape(-1, real.size, real.size))
    return {"statistics": table, "residual power": power}


def quantiles(values: np.ndarray) -> list[float]:
    """Return the 16th, 50th and 84th percentiles of what was measured."""
    return np.nanpercentile(values, [16, 50, 84]).tolist()


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Wasserstein distance of two samples over the scatter of the first."""
    one, other = (values[np.isfinite(values)].ravel() for values in (one, other))
    return float(wasserstein_distance(one, other) / one.std())


def draw_sheet(real: np.ndarray, simulated: np.ndarray, magnitude: np.ndarray) -> None:
    """Draw real galaxies beside simulated ones, by magnitude, and save the sheet."""
    order = np.argsort(magnitude)[:SHOWN]
    figure = Figure(figsize=(14.4, 7.5), dpi=150)
    halves = figure.subplots(1, 2)
    for axis, images, title in zip(halves, (real, simulated), ("real", "simulated"), strict=True):
        side = images.shape[-1]
        noise = np.sqrt(cosmos_variance())
        peaks = np.maximum(np.percentile(images[order], 99.8, axis=(1, 2)), 8 * noise)
        shown = np.arcsinh(images[order] / (2 * noise))
        shown /= np.arcsinh(peaks / (2 * noise))[:, None, None]
        rows = shown.reshape(10, 10, side, side).transpose(0, 2, 1, 3)
        axis.imshow(rows.reshape(10 * side, 10 * side), cmap="gray", vmin=-0.1, vmax=1)
        axis.set_title(
            f"{title}: HST/ACS F814W, {magnitude.min():.1f} to {magnitude.max():.1f} mag"
        )
        axis.set_axis_off()
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.95, wspace=0.01)
    save(figure, HERE / "real_and_simulated.png")


def rates() -> dict[str, float]:
    """Measure galaxies a second on one core, 64 px."""
    found = {}
    for name, bands, options in (
        ("F814W", BAND, {}),
        ("F814W, smooth", BAND, {"structure": False}),
        ("F814W, with noiseless images", BAND, {"noiseless": True}),
        ("hst, 5 bands", "hst", {}),
        ("lsst, 6 bands", "lsst", {}),
    ):
        source = SimulatedSource(1, 64, bands, **options)
        source.start_worker()
        source.draw(range(20))
        start = time.perf_counter()
        source.draw(range(20, 520))
        found[name] = 500 / (time.perf_counter() - start)
    return found


def main() -> None:
    """Draw, measure, write results.json, the sheet and galaxies in colour."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("real", type=Path, help="stamp file of real galaxies")
    real = StampFile(arguments.parse_args().real)
    results = {"moments": moments(), "rates": rates(), **compare(real)}
    results["versions"] = {name: version(name) for name in ("galgen", "galsim", "numpy")}
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
