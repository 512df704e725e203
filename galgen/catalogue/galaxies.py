"""The galaxies of a catalogue: images and a table, a block at a time."""

import hashlib
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from galgen.data.edges import edge_pixels
from galgen.errors import GalgenError
from galgen.evaluation.whole_stamps import half_light_radius
from galgen.files import sha256
from galgen.fitted_priors import CONDITIONS, path_of
from galgen.models.vae import DECODED_TOGETHER, NORMAL
from galgen.redshifts import Redshifts
from galgen.trained import TrainedRun

if TYPE_CHECKING:
    from galgen.models.survey_conditions import SurveyConditions  # zuko, for those who need it


class Catalogue:
    """Galaxies `start` to `start + n - 1` that a run generates; each depends on (seed, number).

    Args:
        run: the trained run.
        n: number of galaxies.
        redshifts: what they are drawn from; None for a model without redshift.
        seed: whole number from 0.
        start: number of the first galaxy.
        prior: what latents are drawn from.
        conditions: the survey's, as fit_flow learned them, of which each galaxy's redshift,
            magnitude and size are drawn; instead of redshifts.

    Raises:
        GalgenError: if the run has no such prior, or nothing that knows the conditions.

    Attributes:
        size: side of the images, px.
        drawn: names of the conditions that galaxies are drawn with: the redshift, and what the
            prior knows beside.
        columns: types of the table's columns, by name.
    """

    def __init__(
        self,
        run: TrainedRun,
        n: int,
        redshifts: Redshifts | None = None,
        seed: int = 0,
        start: int = 0,
        prior: str = NORMAL,
        conditions: "SurveyConditions | None" = None,
    ):
        self.run, self.n, self.redshifts, self.conditions = run, n, redshifts, conditions
        self.seed, self.start, self.prior = seed, start, prior
        self.size = run.model.image_size
        from_survey = redshifts is not None and redshifts.values is None
        self.survey_redshifts = run.training_redshifts() if from_survey else None
        self.radius = "flux_radius" if run.pixel_scale else "flux_radius_px"
        self.columns = {"galaxy_id": "i8", "seed": "i8"}
        if redshifts is not None:
            self.columns["redshift"] = "f4"
        # Asked for here, a prior that is missing is missed before anything is written.
        known = run.model.priors[prior].condition_names if prior != NORMAL else []
        names = [] if conditions is None else conditions.names
        used = {*known, *(["redshift"] if run.model.conditional or known else [])}
        self.drawn = [name for name in names if name in used]
        if names and not self.drawn:
            raise GalgenError(
                f"conditions=learned: neither {run.name} nor prior={prior} knows "
                f"{', '.join(names)}; give prior=flow, or leave conditions out"
            )
        self.columns |= {drawn_name(name): "f4" for name in self.drawn}
        if run.zero_point is not None:
            self.columns |= {"flux": "f4", "magnitude": "f4"}
        self.columns[self.radius] = "f4"

    def block(self, first: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Generate rows `first` to `stop - 1` of the catalogue.

        Returns:
            Images (stop - first, H, W) in the run's unit, float32, and the table, (stop - first,),
            with the names of `columns`.
        """
        number, n = self.start + first, stop - first
        table = np.zeros(n, list(self.columns.items()))
        table["galaxy_id"] = np.arange(number, number + n)
        table["seed"] = self.seed
        redshift = None
        if self.redshifts is not None:
            redshift = self.redshifts.draw(self.seed, number, n, self.survey_redshifts)
            table["redshift"] = redshift
            redshift = table["redshift"]  # as the table says: rounded to float32
        drawn = {}
        if self.conditions is not None:
            values = self.conditions.draw(self.seed, number, n)
            for name in self.drawn:
                table[drawn_name(name)] = values[name]
                drawn[name] = table[drawn_name(name)]
            own = drawn.pop("redshift", None)
            redshift = own if self.run.model.conditional else None
        made = self.run.model.sample(n, redshift, self.prior, self.seed, number, drawn)
        images = self.run.physical(made)
        for start in range(0, n, DECODED_TOGETHER):  # few enough to stay in the processor's cache
            rows = slice(start, start + DECODED_TOGETHER)
            table[self.radius][rows] = half_light_radius(above_floor(images[rows]))
        table[self.radius] *= self.run.pixel_scale or 1
        if "flux" in self.columns:
            flux = images.sum(axis=(1, 2), dtype=float)
            table["flux"] = flux
            with np.errstate(divide="ignore", invalid="ignore"):
                table["magnitude"] = self.run.zero_point - 2.5 * np.log10(flux)
        return images, table

    def attributes(self) -> dict[str, str | int | float]:
        """Say what the catalogue was made with and what its numbers mean."""
        run, known = self.run, self.run.attributes
        attributes = {
            "survey": str(run.facts["survey"]),
            "recipe": "generated by galgen, not observed",
            "run": run.name,
            "model": run.model.name,
            "config_sha256": run.config_sha256,
            "weights_sha256": run.model.weights_sha256,
            "seed": self.seed,
            "start": self.start,
            "prior": self.prior,
            "unit": run.unit,
            "versions": ", ".join(f"{name} {version(name)}" for name in VERSIONS),
        }
        if self.redshifts is not None:
            attributes["redshifts"] = self.redshifts.text
        if self.conditions is not None:
            attributes["redshifts"] = f"learned: {', '.join(self.conditions.names)}"
            attributes["conditions_sha256"] = sha256(path_of(run.directory, CONDITIONS))
        if self.prior != NORMAL:
            attributes["prior_sha256"] = sha256(path_of(run.directory, self.prior))
        if "band" in known:
            attributes["band"] = known["band"]
        for name in ("pixel_scale", "zero_point"):
            if getattr(run, name) is not None:
                attributes[name] = getattr(run, name)
        return attributes

    def identity(self) -> dict[str, str | int | float]:
        """Say what the galaxies follow from, so that a cut catalogue is gone on with as it was."""
        identity = {**self.attributes(), "n": self.n}
        if self.survey_redshifts is not None:
            identity["of"] = hashlib.sha256(self.survey_redshifts.tobytes()).hexdigest()
        return identity


def drawn_name(name: str) -> str:
    """Name the column of a condition that was drawn; what is measured has the plain name."""
    return name if name == "redshift" else f"drawn_{name}"


def above_floor(images: np.ndarray) -> np.ndarray:
    """Return what of images (N, H, W) is brighter than the median of their outermost pixels.

    A decoder that ends in a sigmoid never reaches zero, and over thousands of pixels that adds up.
    """
    return np.clip(images - np.median(edge_pixels(images), axis=1)[:, None, None], 0, None)


VERSIONS = ("galgen", "torch", "numpy")
"""Packages whose versions a catalogue carries."""
