"""The power spectra of an evaluation's galaxies, and their pixels."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from galgen.figures.display import PAGE, STYLE
from galgen.figures.evaluation_style import add_legend, colour_of

if TYPE_CHECKING:
    from galgen.figures.evaluation_figures import Evaluated


def select_power(shown: "Evaluated") -> dict[str, Figure]:
    """Draw the spectra and the finite pixels of all samples of an evaluation."""
    images = {name: shown.result.images[name] for name in shown.samples}
    figure = draw_power(
        shown.result.wavenumber,
        {name: shown.result.spectra[name] for name in shown.samples},
        {name: pixels[np.isfinite(pixels)] for name, pixels in images.items()},
        shown.labels,
        shown.run.unit,
        shown.title,
    )
    return {"evaluation_power": figure}


def draw_power(
    wavenumber: np.ndarray,
    spectra: Mapping[str, np.ndarray],
    pixels: Mapping[str, np.ndarray],
    labels: Mapping[str, str],
    unit: str,
    title: str,
) -> Figure:
    """Draw mean power spectra, their ratio to the survey's, and the pixels' histogram.

    Args:
        wavenumber: cycles per px, (bins,).
        spectra: mean power by sample, (bins,).
        pixels: values of pixels by sample, (n,).
        labels: how the samples are called, in the order of their colours; the first is `real`.
        unit: of the pixels.
        title: the samples that are compared.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 2.5), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        scale = np.percentile(np.abs(pixels["real"]), 99)
        edges = np.sinh(np.linspace(-2, 7, 120)) / np.sinh(3) * scale
        for sample in spectra:
            style = {"color": colour_of(sample, labels), "lw": 1.2}
            left.loglog(wavenumber, spectra[sample], **style)
            middle.plot(wavenumber, spectra[sample] / spectra["real"], **style)
            share = np.histogram(pixels[sample], edges)[0] / len(pixels[sample])
            right.stairs(share / np.diff(edges), edges, **style)
        left.set_ylabel("mean power")
        middle.set(ylabel="power over the survey's", xscale="log", ylim=(0, 2))
        for axis in (left, middle):
            axis.set_xlabel("wavenumber [cycles/px]")
            axis.xaxis.set_minor_formatter(NullFormatter())
        right.set(xlabel=f"pixel [{unit}]", ylabel="density", yscale="log")
        decade = 10.0 ** np.ceil(np.log10(scale if scale > 0 else 1))
        right.set_xscale("asinh", linear_width=decade)
        right.set_xticks([-decade, 0, decade, 10 * decade, 100 * decade])
        right.xaxis.set_major_formatter("{x:g}")
        right.set_xlim(edges[0], max(values.max() for values in pixels.values()))
        add_legend(figure, list(spectra), labels, title, filled=False)
    return figure
