"""The galaxies of a catalogue: images and a table, a block at a time."""

import hashlib
import logging
import math
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from galgen.catalogues.observed import NONE, SURVEY, Telescope
from galgen.data.edges import without_edge
from galgen.data.stamp_file import GENERATED
from galgen.data.surveys.photometry import canonical
from galgen.errors import GalgenError
from galgen.evaluation.morphology.whole_stamps import half_light_radius
from galgen.files import sha256
from galgen.models.blocks import DECODE_BLOCK
from galgen.priors.fitted import CONDITIONS, path_of
from galgen.runs.conditions import Conditions
from galgen.runs.image_facts import PEAK
from galgen.runs.requested_conditions import known_conditions
from galgen.runs.run_priors import NORMAL
from galgen.runs.trained_run import TrainedRun
from galgen.runs.verdict import sentences

if TYPE_CHECKING:
    from galgen.priors.conditions import SurveyConditions  # zuko, for those who need it

log = logging.getLogger(__name__)

RELATIVE = "relative brightness"
"""Unit of images whose flux the peak normalisation threw away."""
PSFS = {
    NONE: "without the telescope's PSF",
    SURVEY: "each through a PSF of the survey",
    "the survey's": "through the survey's PSF",
}
"""What images show, by the PSF."""
VERSIONS = ("galgen", "torch", "numpy")
"""Packages whose versions a catalogue carries."""


class Column(NamedTuple):
    """A column of a catalogue's table."""

    kind: str
    """Type, as NumPy's `i8` or `f4`."""
    unit: str
    """As astropy.units reads it; empty where there is none."""
    description: str
    shape: tuple[int, ...] = ()
    """Of each value: (B,) where bands differ."""


class Catalogue:
    """Galaxies `start` to `start + n - 1` that a run generates; each depends on (seed, number).

    Args:
        run: the trained run.
        n: number of galaxies.
        conditions: the requested conditions.
        seed: whole number from 0.
        start: number of the first galaxy.
        prior: what latents are drawn from.
        learned: the survey's conditions, as fit_prior learned them: each galaxy's redshift,
            magnitude and size are drawn of them, instead of `conditions`.
        edge: `keep`, or `subtract` the level on which each galaxy stands.
        telescope: what the galaxies are seen with; the table is measured before that.

    Raises:
        GalgenError: if the run has no such prior, or nothing that knows the learned conditions.

    Attributes:
        size: side of the images, px.
        pixel_scale: of the images, arcsec; None where unknown.
        drawn: names of the conditions that galaxies are made with.
        columns: of the table, by name.
    """

    def __init__(
        self,
        run: TrainedRun,
        n: int,
        conditions: Conditions | None = None,
        seed: int = 0,
        start: int = 0,
        prior: str = NORMAL,
        learned: "SurveyConditions | None" = None,
        edge: str = "keep",
        telescope: Telescope | None = None,
    ):
        self.telescope = telescope or Telescope(run)
        self.run, self.n, self.learned, self.edge = run, n, learned, edge
        self.conditions = conditions or Conditions({})
        self.seed, self.start, self.prior = seed, start, prior
        self.size, self.pixel_scale = run.model.image_size, run.pixel_scale
        if not self.telescope.on_survey_pixels:
            self.size, self.pixel_scale = self.size * run.model.oversampling, run.light_scale
        self.radius = "flux_radius" if run.pixel_scale else "flux_radius_px"
        known = known_conditions(run, prior)  # raises of a prior that is missing, before any file
        self.drawn = list(self.conditions.requested)
        if learned is not None:
            self.drawn = [name for name in learned.names if name in known]
            if not self.drawn:
                raise GalgenError(
                    f"conditions=learned: neither {run.name} nor prior={prior} knows "
                    f"{', '.join(learned.names)}. Use a prior that does, or leave conditions out."
                )
            ignored = [name for name in learned.names if name not in known]
            if ignored:
                log.warning(
                    "%s: conditions=learned draws %s alone; neither the model nor prior=%s knows "
                    "%s",
                    *(run.name, ", ".join(self.drawn), prior, ", ".join(ignored)),
                )
        self.columns = self._columns()

    def block(self, first: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Generate rows `first` to `stop - 1` of the catalogue.

        Returns:
            Images (stop - first, B, size, size) in the run's unit, float32, and the table,
            (stop - first,), with the names of `columns`.
        """
        number, n, run = self.start + first, stop - first, self.run
        table = np.zeros(n, [(name, c.kind, c.shape) for name, c in self.columns.items()])
        table["galaxy_id"] = np.arange(number, number + n)
        table["seed"] = self.seed
        source = self.conditions if self.learned is None else self.learned
        values = source.draw(self.seed, number, n)
        for name in self.drawn:
            table[requested_name(name)] = values[name]
        # As the table has them, rounded to float32.
        drawn = {name: table[requested_name(name)] for name in self.drawn}
        images = run.make(n, drawn, self.prior, self.seed, number)
        if self.edge == "subtract":
            images = without_edge(images)
        for start in range(0, n, DECODE_BLOCK):  # few enough to stay in the processor's cache
            rows = slice(start, start + DECODE_BLOCK)
            light = above_edge(images[rows, run.reference])
            table[self.radius][rows] = half_light_radius(light)
        table[self.radius] *= run.light_scale or 1
        if "flux" in table.dtype.names:
            flux = images.sum(axis=(2, 3), dtype=float)
            table["flux"] = flux.reshape(table["flux"].shape)
            if "magnitude" in table.dtype.names:
                points = np.array(run.zero_points, float)  # NaN where unknown
                with np.errstate(divide="ignore", invalid="ignore"):
                    magnitude = points - 2.5 * np.log10(flux)
                table["magnitude"] = magnitude.reshape(table["magnitude"].shape)
        return self.telescope.observe(images, self.seed, number), table

    @property
    def unit(self) -> str:
        """Unit of the images, as astropy.units reads it if it is one."""
        return RELATIVE if self.run.unit == PEAK else canonical(self.run.unit)

    @property
    def image_description(self) -> str:
        """What the images show."""
        psf = f"through the PSF {self.telescope.psf}"
        if self.telescope.psf in PSFS:
            psf = PSFS[self.telescope.psf]
        noise = "noise of the survey" if self.telescope.noise == SURVEY else "without noise"
        scale = ""
        if self.run.unit == PEAK:
            scale = "; the brightest pixel of a galaxy of the survey is 1, the flux is not known"
        edge = ", the level at the edge subtracted" if self.edge == "subtract" else ""
        return f"light of a generated galaxy, {psf}, {noise}{edge}{scale}"

    @property
    def has_magnitudes(self) -> bool:
        """Whether the zero point of a band is known."""
        return any(point is not None for point in self.run.zero_points)

    @property
    def cautions(self) -> list[str]:
        """The cautions of the model's verdict, in sentences."""
        return sentences(self.run.verdict)

    def attributes(self) -> dict[str, str | int | float | list]:
        """Return the attributes of the catalogue: its origin, and the meaning of its numbers."""
        run = self.run
        attributes = {
            "survey": str(run.facts["survey"]),
            "recipe": GENERATED,
            "run": run.name,
            "model": run.model.name,
            "config_sha256": run.config_sha256,
            "weights_sha256": run.weights_sha256,
            "seed": self.seed,
            "start": self.start,
            "prior": self.prior,
            "edge": self.edge,
            "psf": self.telescope.psf,
            "noise": self.telescope.noise,
            "unit": self.unit,
            "versions": ", ".join(f"{name} {version(name)}" for name in VERSIONS),
        }
        if self.telescope.sha256:
            attributes["psf_sha256"] = self.telescope.sha256
        if self.conditions.requested:
            attributes["conditions"] = self.conditions.text
        if self.learned is not None:
            attributes["conditions"] = f"learned: {', '.join(self.drawn)}"
            attributes["conditions_sha256"] = sha256(path_of(run.directory, CONDITIONS))
        if self.prior != NORMAL:
            attributes["prior_sha256"] = sha256(path_of(run.directory, self.prior))
        attributes["bands"] = run.bands
        if run.reference:
            attributes["reference_band"] = run.bands[run.reference]
        if self.pixel_scale is not None:
            attributes["pixel_scale"] = self.pixel_scale
        if self.has_magnitudes:
            attributes["zero_point"] = [
                math.nan if point is None else point for point in run.zero_points
            ]
        return attributes

    def identity(self) -> dict[str, str | int | float | list]:
        """Return everything that the galaxies depend on, so that no other catalogue is resumed."""
        identity = {**self.attributes(), "n": self.n}
        for name, values in self.conditions.survey.items():
            identity[f"{name} of"] = hashlib.sha256(values.tobytes()).hexdigest()
        return identity

    def _columns(self) -> dict[str, Column]:
        size = "arcsec" if self.run.pixel_scale else "pix"
        units = {"magnitude": "mag", "size": "arcsec"}
        columns = {
            "galaxy_id": Column(
                "i8", "", "number of the galaxy; with seed and conditions it follows"
            ),
            "seed": Column("i8", "", "seed of the random numbers"),
        }
        for name in self.drawn:
            description = f"requested {DESCRIPTIONS[name]} of the galaxy"
            columns[requested_name(name)] = Column("f4", units.get(name, ""), description)
        bands = self.run.bands
        shape = (len(bands),) if len(bands) > 1 else ()
        each = f" in each of {', '.join(bands)}" if shape else ""
        where = f", in {bands[self.run.reference]}" if shape else ""
        if self.run.unit != PEAK:
            columns["flux"] = Column("f4", self.unit, f"sum of the image's pixels{each}", shape)
        if self.has_magnitudes:
            columns["magnitude"] = Column("f4", "mag", f"AB magnitude of flux{each}", shape)
        columns[self.radius] = Column(
            "f4",
            size,
            "radius of the circle that holds half of the image's light above its edge's level, "
            + ("PSF not included" if self.run.model.psf_free else "PSF included")
            + where,
        )
        return columns


DESCRIPTIONS = {
    "redshift": "redshift",
    "magnitude": "AB magnitude",
    "size": "half-light radius, as the survey's catalogue has it,",
}
"""What conditions are, in the descriptions of columns."""


def requested_name(name: str) -> str:
    """Name the column of a requested condition; the measured quantity has the plain name."""
    return name if name == "redshift" else f"requested_{name}"


def above_edge(images: np.ndarray) -> np.ndarray:
    """Return what of images (..., H, W) is brighter than the level on which each galaxy stands."""
    return np.clip(without_edge(images), 0, None)
