"""Pictures of an evaluation."""

import numpy as np
from matplotlib.figure import Figure

from galgen import figures
from galgen.evaluation.evaluation import Result
from galgen.evaluation.scores import redshift_bins
from galgen.figures import Display
from galgen.runs.trained_run import TrainedRun

IN_BINS = ("log_flux", "sigma", "concentration", "ellipticity")
"""Statistics that are drawn by redshift, where they are compared."""
ARCSEC = ("sigma", "half_light_radius")


def draw(result: Result, run: TrainedRun) -> dict[str, Figure]:
    """Draw an evaluation.

    Args:
        result: what was found.
        run: the run that was evaluated.

    Returns:
        Figures by name.
    """
    facts, names = result.facts, result.facts["statistics"]
    shown = {name: s for name, s in result.samples.items() if name != "training"}
    size = "arcsec" if run.pixel_scale else "px"
    units = dict.fromkeys(ARCSEC, size) | {"magnitude": "AB", "log_flux": run.unit}
    title = f"survey '{facts['survey']}'{' (simulated)' * facts['simulated']}: {facts['compared']}"
    kept = {name: sample[sample.complete(names)].columns for name, sample in shown.items()}
    finite = {name: {column: table[column] for column in names} for name, table in kept.items()}
    apart = {
        name: {column: found.value for column, found in distances.items()}
        for name, distances in result.distances.items()
    }
    drawn = {
        "evaluation_statistics": figures.statistics(
            finite, units, apart, f"{title}; numbers: W1 / σ of the survey"
        ),
        "evaluation_power": figures.power(
            result.wavenumber,
            {name: spectrum for name, spectrum in result.spectra.items() if name in shown},
            {name: finite_pixels(result.images[name]) for name in shown},
            run.unit,
            title,
        ),
    }
    if result.samples["real"].redshift is not None:
        table = {
            name: {**sample.columns, "redshift": sample.redshift} for name, sample in shown.items()
        }
        edges = redshift_bins(result.samples["real"].redshift)
        in_bins = [name for name in IN_BINS if name in names]
        drawn["evaluation_redshift"] = figures.by_redshift(table, edges, in_bins, units, title)
    brightness = "magnitude" if run.zero_point is not None else "log_flux"
    drawn["evaluation_size_magnitude"] = figures.size_magnitude(
        {name: sample.columns for name, sample in shown.items()},
        (brightness, "sigma"),
        units,
        title,
    )
    display = Display(pixel_scale=run.pixel_scale)
    for prior, nearest in result.neighbours.items():
        generated = result.images[prior][: len(nearest)]
        drawn[f"evaluation_neighbours_{prior}"] = figures.neighbours(
            generated, nearest, display, prior
        )
    return drawn


def finite_pixels(images: np.ndarray) -> np.ndarray:
    """Return the pixels of images (N, H, W) that are finite, (n,)."""
    return images[np.isfinite(images)]
