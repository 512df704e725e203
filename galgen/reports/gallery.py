"""The pictures of a report, inside the page as data: URIs."""

import base64
import io
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from galgen.figures.display import COLOURS, STYLE
from galgen.figures.interpolation import Interpolation, decode_at
from galgen.figures.latent import Latent
from galgen.figures.losses import draw_losses
from galgen.figures.reconstruction import Reconstruction
from galgen.figures.samples import Samples
from galgen.figures.strips import draw_strips
from galgen.reports.facts import best_epoch
from galgen.runs.conditions import SURVEY
from galgen.runs.requested_conditions import requested_redshifts, training_redshifts
from galgen.runs.trained_run import TrainedRun

DPI = 150
FRAMES, GALAXIES = 15, 4
"""Redshifts of the slider, and its galaxies."""
SIDE_BY_SIDE = 6
"""Redshifts of generated galaxies where the survey's own are not available."""
COMMON_REDSHIFTS = (0.2, 1.5)
"""Of most galaxies in the original surveys, for a model whose training's are not recorded."""


@dataclass
class Shown:
    """A picture on the page."""

    title: str
    uri: str
    alt: str
    caption: str


@dataclass
class Slider:
    """Galaxies decoded at the redshift that the reader chooses."""

    title: str
    caption: str
    galaxies: list[str]
    survey: str
    frames: list[dict[str, str]]


def losses(curves: dict[str, list[dict]]) -> Shown:
    """Draw the losses of one run or several, by label."""
    alt = f"Losses of {len(curves)} runs over epochs."
    if len(curves) == 1:
        (rows,) = curves.values()
        alt = f"Losses of epochs 1 to {rows[-1]['epoch']:.0f}"
        if best := best_epoch(rows):
            alt += f"; validation is best, {best['val/loss']:.4g}, at epoch {best['epoch']:.0f}"
    caption = (
        "The reconstruction term is summed over pixels, the KL over latent dimensions; both are "
        "averaged over galaxies. Validation, dashed, uses the β that the schedule arrives at."
    )
    return Shown("Losses", _png(draw_losses(curves)), alt, caption)


def losses_of_many(curves: dict[str, list[dict]]) -> list[Shown]:
    """Overlay the losses of runs, as many in one figure as there are colours."""
    names = list(curves)
    groups = [names[start : start + len(COLOURS)] for start in range(0, len(names), len(COLOURS))]
    return [losses({name: curves[name] for name in group}) for group in groups]


def of_survey(run: TrainedRun, galaxies: str, **how) -> list[Shown | Slider]:
    """Draw what needs the run's survey, and generated galaxies at its redshifts.

    Args:
        run: the trained run.
        galaxies: their name in the caption.
        **how: as `RunFigure`.

    Raises:
        GalgenError: if the survey is not available.
    """
    figure = Reconstruction(**how).draw(run)["reconstruction"]
    unseen = " that the model was not trained on" if "split" in run.facts else ""
    predicted = ", the redshifts that it predicts" if hasattr(run.model, "predict") else ""
    reconstructions = Shown(
        "Reconstructions",
        _png(figure),
        f"Validation part: {galaxies} over their reconstructions over the residuals.",
        f"Validation part: {galaxies}{unseen}{predicted}, their reconstructions from the posterior "
        "mean, and the residuals.",
    )
    sliders = [slider(run, galaxies, **how)] if run.model.conditional else []
    return [reconstructions, generated(run, SURVEY, **how), *sliders, *latents(run, **how)]


def generated(run: TrainedRun, redshift: str | None = None, **how) -> Shown:
    """Draw generated galaxies.

    Args:
        run: the trained run.
        redshift: of a conditional model's: `survey`; several within those of its training where
            None.
        **how: as `RunFigure`.
    """
    prior = run.priors[run.prior_for(None, {})].label
    caption = f"Generated galaxies; prior of the latents: {prior}"
    wanted: str | list[float] | None = None
    if run.model.conditional and redshift == SURVEY:
        wanted = SURVEY
        caption += ", each at the redshift of a galaxy of the training part"
    elif run.model.conditional:
        wanted, known = trained_redshifts(run)
        caption += "; a row is one latent, decoded at several redshifts"
        caption += "" if known else " (those that the model was trained on are not recorded)"
    figure = Samples(redshift=wanted, **how).draw(run)["samples"]
    return Shown("Generated galaxies", _png(figure), "A grid of generated galaxies.", caption + ".")


def trained_redshifts(run: TrainedRun) -> tuple[list[float], bool]:
    """Return redshifts that lie within those of the training, and whether these are known."""
    redshift = run.facts.get("redshift")
    low, high = COMMON_REDSHIFTS
    if redshift:
        spread = 1.5 * redshift["std"]
        low = max(redshift["min"], redshift["mean"] - spread)
        high = min(redshift["max"], redshift["mean"] + spread)
    return np.linspace(low, high, SIDE_BY_SIDE).tolist(), bool(redshift)


def slider(run: TrainedRun, galaxies: str, **how) -> Slider:
    """Decode galaxies of the validation part at redshifts that span the survey's."""
    figure = Interpolation(**how)
    redshifts = requested_redshifts(run, SURVEY).steps(FRAMES, training_redshifts(run))
    positions = figure.choose(run, None, GALAXIES)
    images, own = decode_at(run, figure.split, positions, redshifts)
    display = figure.display(run)
    survey, *frames = map(_webp, draw_strips(images, display))
    shown = ", ".join(filter(None, [display.channels.text, display.stretch]))
    return Slider(
        "The same galaxies at another redshift",
        f"Above, {galaxies} of the validation part. Below, their reconstructions from the same "
        "latents at the redshift of the slider, over the middle 90 % of the training part's. "
        f"The brightness scale of each galaxy stays the same ({shown}).",
        [f"no. {n}\nredshift {z:.2f}" for n, z in zip(positions, own, strict=True)],
        survey,
        [
            {"label": f"redshift {z:.2f}", "uri": uri}
            for z, uri in zip(redshifts, frames, strict=True)
        ],
    )


def latents(run: TrainedRun, **how) -> list[Shown]:
    """Draw the latent space of the validation part."""
    drawn = Latent(**how).draw(run)
    return [
        Shown(
            "Latents",
            _png(drawn["latent"]),
            "Histograms of pairs of latent dimensions.",
            "Posterior samples of the validation part, in the dimensions of the largest KL, "
            "against N(0, 1), the prior of the VAE's loss.",
        ),
        Shown(
            "KL of each latent dimension",
            _png(drawn["latent_kl"]),
            "Bars: the KL of each latent dimension, sorted.",
            "An active dimension is one whose posterior mean varies between galaxies.",
        ),
    ]


def _png(figure: Figure) -> str:
    file = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(file, format="png", dpi=DPI)
    return _uri("png", file)


def _webp(pixels: np.ndarray) -> str:
    """Encode pixels (H, W, 4) without loss."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="webp", lossless=True)
    return _uri("webp", file)


def _uri(kind: str, file: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
