"""A trained run, ready to be used: its model, its unit and scale, the survey it learned from."""

import functools
import hashlib
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.distributions import Normal

from galgen.config.run_paths import locate as locate_run
from galgen.config.targets import check_targets, instantiate
from galgen.data.batch import Batch
from galgen.data.data_module import SurveyDataModule
from galgen.data.identity import redshift_statistics, split_facts
from galgen.data.stamp_file import known_redshifts
from galgen.errors import GalgenError
from galgen.models.vae import NORMAL
from galgen.priors.fitted import CONDITIONS, costs, path_of, read
from galgen.runs import directory as runs
from galgen.runs.conditions import STREAMS, Condition, Conditions, asked_for
from galgen.runs.loading import load_model
from galgen.runs.verdict import cautions

if TYPE_CHECKING:
    from galgen.priors.conditions import SurveyConditions  # zuko, for those who need it

log = logging.getLogger(__name__)

OF_TRANSFORMS = ("galgen.data.transforms",)
OF_SURVEYS = (
    "galgen.data.data_module",
    "galgen.data.surveys.simulated_data_module",
    *OF_TRANSFORMS,
)
"""Where the classes come from that a run's config may name, for the nodes that are used here."""
PEAK = "peak"
"""Unit of images that are scaled to their brightest pixel."""
MAGNITUDE_OF_PEAKS = (
    "a magnitude chooses shapes alone, since the images have no flux; scale them yourself"
)
"""Warning."""
UNKNOWN = "unknown"
"""Unit of images whose stamp file does not say theirs."""


class TrainedRun:
    """A run whose model is used; images go in and come out in the run's unit.

    Args:
        directory: the run directory.
        device: where the model computes; a GPU if there is one, where None.
        data_file: stamp file of its survey, where it is not where the training found it.
        checkpoint: `best` or `last`; where None, the best of a finished run, else the last.

    Attributes:
        directory: the run directory.
        name: the run's.
        config: the resolved config.
        facts: what data.json keeps.
        model: in eval mode, on the device.
        transform: between the stamp file's unit and the model's scale.
        trained_redshifts: smallest and largest redshift of the training part.
        verdict: how the training judged the model (`galgen.runs.verdict.judge`); None where it
            did not.

    Raises:
        GalgenError: if it is no run, has no checkpoint yet, or one that is damaged.
    """

    def __init__(
        self,
        directory: str | Path,
        device: str | None = None,
        data_file: str | None = None,
        checkpoint: str | None = None,
    ):
        self.directory = locate_run(directory)
        self.config = runs.read_config(self.directory)
        check_targets(self.config.transform, OF_TRANSFORMS)
        check_targets(self.config.data, OF_SURVEYS)
        self.name = self.config.run_name or self.directory.name
        self.facts = runs.read_facts(self.directory)
        runs.keep_scale(self.config, self.facts)
        self.data_file, self.warned = data_file, set()
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self.model = load_model(self.directory, checkpoint).to(device)
        except (RuntimeError, AssertionError) as error:  # of torch, about the device
            raise GalgenError(f"device={device}: {str(error).splitlines()[0]}") from error
        self.transform = instantiate(self.config.transform)
        self.trained_redshifts = self.model.trained_redshifts
        del self.model.trained_redshifts  # `redshifts` warns for all that is made with this run
        self.verdict = runs.read_verdict(self.directory)
        for caution in cautions(self.verdict):
            log.warning("%s: %s", self.name, caution)

    @property
    def config_sha256(self) -> str:
        """Hash of the run's config, which says how the model was made."""
        return hashlib.sha256((self.directory / "config.yaml").read_bytes()).hexdigest()

    @property
    def attributes(self) -> dict:
        """What the stamp file said of itself."""
        return self.facts.get("attributes", {})

    @property
    def unit(self) -> str:
        """Unit of `physical` images: that of the stamp file, or the peak of each galaxy."""
        if self.facts["transform"]["name"] == PEAK:
            return PEAK
        unsaid = UNKNOWN if "galgen_schema" in self.attributes else PEAK
        return str(self.attributes.get("unit") or unsaid)

    @property
    def pixel_scale(self) -> float | None:
        """Side of a pixel, arcsec, where it is known."""
        scale = self.attributes.get("pixel_scale", self.config.data.get("pixel_scale"))
        if scale is not None and not (isinstance(scale, float | int) and scale > 0):
            raise GalgenError(f"{self.directory}/data.json: its pixel_scale is {scale!r}")
        return scale

    @property
    def zero_point(self) -> float | None:
        """AB magnitude of one unit, where images have a unit and it is known."""
        return None if self.unit == PEAK else self.attributes.get("zero_point")

    def physical(self, images: ArrayLike) -> np.ndarray:
        """Bring the model's images (N, H, W) to `unit`, float32."""
        return self.transform.inverse(torch.as_tensor(images).float()).cpu().numpy()

    def scaled(self, images: ArrayLike) -> torch.Tensor:
        """Bring images (N, H, W) in the stamp file's unit to the model's scale, on its device.

        Raises:
            ValueError: if they have another shape.
        """
        image = self.model.images(images)
        return self.transform(Batch(image, torch.arange(len(image)))).image

    def sample(
        self,
        n: int,
        redshift: ArrayLike | None = None,
        prior: str | None = None,
        seed: int = 0,
        start: int = 0,
        **conditions: ArrayLike,
    ) -> np.ndarray:
        """Generate galaxies; galaxy i depends on (seed, i) and its conditions alone.

        Args:
            n: number of galaxies.
            redshift: one number for all, or (n,); conditional models need it.
            prior: what the latents are drawn from: `normal`, or one that was fitted; as
                `prior_for` chooses where None.
            seed: whole number from 0.
            start: number of the first galaxy.
            **conditions: what else the prior may know, one number for all or (n,), NaN where
                unknown: `magnitude` (AB), `flux_radius` (arcsec).

        Returns:
            Images (n, H, W) in `unit`, float32.

        Raises:
            GalgenError: if the prior was not fitted.
            ValueError: if a number is out of range, a condition is one that the prior ignores, or
                a conditional model gets no redshift.
        """
        if redshift is not None and not self.model.conditional:
            raise ValueError(f"redshift={redshift}: {self.model.name} knows no redshift")
        conditions = {name: asked for name, asked in conditions.items() if asked is not None}
        prior = self.prior_for(prior, conditions)
        values = {**conditions, "redshift": redshift}
        images = self.make(n, values, prior, seed, start)
        self._warn_beyond(values, prior)
        return images

    def make(
        self, n: int, values: Mapping[str, ArrayLike], prior: str, seed: int, start: int
    ) -> np.ndarray:
        """Generate galaxies as `sample` does, of conditions that `conditions` has checked.

        Args:
            n: number of galaxies.
            values: of the conditions by name, one number for all or (n,) each.
            prior: what latents are drawn from.
            seed: whole number from 0.
            start: number of the first galaxy.

        Returns:
            Images (n, H, W) in `unit`, float32.
        """
        redshift = values.get("redshift") if self.model.conditional else None
        others = {name: value for name, value in values.items() if name != "redshift"}
        return self.physical(self.model.sample(n, redshift, prior, seed, start, others))

    def reconstruct(self, images: ArrayLike, redshift: ArrayLike | None = None) -> np.ndarray:
        """Return the decoded posterior means of images (N, H, W), in `unit`, float32.

        Args:
            images: (N, H, W), in the stamp file's unit.
            redshift: one number for all, or (N,); conditional models need it.

        Raises:
            ValueError: if the images have another shape, or redshifts are missing or of another
                number.
        """
        return self.physical(self.model.reconstruct(self.scaled(images), redshift))

    def encode(self, images: ArrayLike, redshift: ArrayLike | None = None) -> Normal:
        """Return the posteriors q(latent | image) of images, batch shape (N, latent_dim).

        Args:
            images: (N, H, W), in the stamp file's unit.
            redshift: one number for all, or (N,); conditional models need it.

        Raises:
            ValueError: if the images have another shape, or redshifts are missing or of another
                number.
        """
        return self.model.encode(self.scaled(images), redshift)

    def decode(self, latent: ArrayLike, redshift: ArrayLike | None = None) -> np.ndarray:
        """Return the images (N, H, W) of latents (N, latent_dim), in `unit`, float32.

        Args:
            latent: (N, latent_dim).
            redshift: one number for all, or (N,); conditional models need it.

        Raises:
            ValueError: if redshifts are missing or of another number.
        """
        return self.physical(self.model.decode(latent, redshift))

    @functools.cached_property
    def prior_costs(self) -> dict[str, tuple[float, float]]:
        """What held-out latents cost, nats, under each fitted prior and under N(0, 1)."""
        return costs(self.directory, self.model.weights_sha256)

    @property
    def better_priors(self) -> list[str]:
        """The fitted priors under which held-out latents cost less than under N(0, 1)."""
        return [prior for prior, (cost, normal) in self.prior_costs.items() if cost < normal]

    @property
    def default_prior(self) -> str:
        """The fitted prior under which held-out latents cost least; N(0, 1) if none is better."""
        return next(iter(self.better_priors), NORMAL)

    def prior_note(self, prior: str) -> str | None:
        """Say why a prior is not the best choice; None where it is a good one.

        Args:
            prior: what latents are drawn from.
        """
        if prior != NORMAL:
            cost, normal = self.prior_costs.get(prior, (-np.inf, 0))
            if cost < normal:
                return None
            return (
                f"prior={prior}: held-out latents cost {cost:.1f} nats, more than the {normal:.1f} "
                "under N(0, 1); fit it to more galaxies, or use prior=normal, which knows no "
                "magnitude or size"
            )
        if not self.prior_costs:
            return (
                f"prior=normal: no prior is fitted to {self.name}, and the encoder does not put "
                "galaxies where N(0, 1) does; fit one: python -m galgen.fit_prior "
                f"run={self.directory}"
            )
        best = self.default_prior
        if best == NORMAL:
            return None
        cost, normal = self.prior_costs[best]
        return (
            f"prior=normal: held-out latents cost {normal:.1f} nats under N(0, 1) and {cost:.1f} "
            f"under prior={best}, which draws galaxies more like the survey's"
        )

    def prior_for(self, prior: str | None, keys: Mapping) -> str:
        """Return the prior that galaxies are drawn from, and warn once if it is no good choice.

        Args:
            prior: as it is asked for; where None, the cheapest fitted one that knows the
                conditions, if it is better than N(0, 1).
            keys: what galaxies are asked for by; None of what is not.
        """
        if prior is None:
            asked = {name for name in STREAMS if keys.get(name) is not None} - {"redshift"}
            able = (
                name for name in self.better_priors if asked <= set(self.known_conditions(name))
            )
            prior = next(able, self.default_prior)
        self._warn_once(self.prior_note(prior))
        return prior

    def condition_ranges(self, prior: str) -> dict[str, tuple[float, float]]:
        """Return the smallest and largest of each condition in the training part, by name.

        Args:
            prior: what latents are drawn from.
        """
        ranges = {} if prior == NORMAL else dict(self.model.priors[prior].condition_ranges)
        if self.model.conditional:
            ranges["redshift"] = self.trained_redshifts
        return {name: (float(low), float(high)) for name, (low, high) in ranges.items()}

    @functools.cached_property
    def survey(self) -> SurveyDataModule:
        """The survey, split as in the training.

        Raises:
            GalgenError: if its file is missing or another than the training's.
        """
        config = self.config.data.copy()
        config.cache = "none"
        if self.data_file:
            config.file = self.data_file
        survey = instantiate(config)
        survey.needs = ("redshift",) if self.model.conditional else ()
        survey.prepare_data()
        if not Path(survey.file).is_file():
            raise GalgenError(
                f"data.file={survey.file}: there is no such stamp file. {survey.hint}. If it was "
                "moved, give data.file=<that file>."
            )
        survey.setup()
        found = {"stamps": len(survey.stamps), "split": split_facts(survey)}
        found["redshift"] = (redshift_statistics(survey) or {}).get("sha256")
        trained_on = {name: self.facts.get(name) for name in ("stamps", "split")}
        trained_on["redshift"] = (self.facts.get("redshift") or {}).get("sha256")
        if trained_on["split"] and trained_on != found:
            raise GalgenError(
                f"{survey.file} holds other galaxies than {self.directory} was trained on; give "
                "data.file=<that file>"
            )
        return survey

    def known_conditions(self, prior: str) -> list[str]:
        """Name the conditions that the model or a prior knows.

        Args:
            prior: what latents are drawn from.
        """
        known = ["redshift"] if self.model.conditional else []
        if prior != NORMAL:
            known += self.model.priors[prior].condition_names
        return list(dict.fromkeys(known))

    def conditions(self, keys: Mapping, prior: str) -> Conditions:
        """Check the conditions that galaxies are asked for by.

        Values beyond those of the training are a warning, once.

        Args:
            keys: numbers, ranges, lists or `survey` by the name of the condition, as `Condition`
                takes them; None of what is not asked for.
            prior: what latents are drawn from.

        Raises:
            GalgenError: if neither model nor prior knows a condition, the model needs a redshift
                and none is asked for, or the survey is not available.
        """
        asked, known = asked_for(keys), self.known_conditions(prior)
        for name, condition in asked.items():
            if name not in known:
                raise GalgenError(self._ignored(condition, prior))
        if self.model.conditional and "redshift" not in asked:
            raise GalgenError(
                f"{self.name} is a {self.model.name}, which needs a redshift: redshift=0.5, "
                "redshift=0.1:2, redshift=[0.1,0.5] or redshift=survey"
            )
        ranges = self.condition_ranges(prior)
        for name, condition in asked.items():
            self._warn_once(condition.outside(ranges.get(name, (-math.inf, math.inf))))
        if "magnitude" in asked and self.unit == PEAK:
            self._warn_once(MAGNITUDE_OF_PEAKS)
        of_survey = [name for name, condition in asked.items() if condition.values is None]
        return Conditions(asked, self._training_columns(of_survey) if of_survey else None)

    def redshifts(self, wanted) -> Condition | None:
        """Check the redshifts that a conditional model decodes latents at.

        Args:
            wanted: as `Condition` takes it; None for a model without redshift.

        Raises:
            GalgenError: if the model needs a redshift and none is wanted, or the other way round.
        """
        return self.conditions({"redshift": wanted}, NORMAL).asked.get("redshift")

    def _ignored(self, condition: Condition, prior: str) -> str:
        """Say that a condition would be ignored, and which prior knows it."""
        wish = f"{condition.name}={condition.text}"
        fitted = [
            name for name in self.model.priors
            if condition.name in self.model.priors[name].condition_names
        ]  # fmt: skip
        if fitted:
            return f"{wish}: prior={prior} does not know it. Use prior={fitted[0]}"
        if condition.name == "redshift":
            return f"{wish}: {self.name} is a {self.model.name}, which knows no redshift"
        return (
            f"{wish}: neither {self.name} nor prior={prior} knows it. If the survey has such a "
            f"column, fit a prior that does: python -m galgen.fit_prior run={self.directory}"
        )

    def _warn_once(self, warning: str | None) -> None:
        """Give a warning, if there is one, unless this run has given it before."""
        if warning and warning not in self.warned:
            log.warning("%s: %s", self.name, warning)
            self.warned.add(warning)

    def _training_columns(self, names: list[str]) -> dict[str, np.ndarray]:
        """Return columns of the training part's galaxies that have all of them, (N,) each.

        Raises:
            GalgenError: if the survey is not available, or no galaxy has them.
        """
        try:
            survey = self.survey
        except GalgenError as error:
            raise GalgenError(f"{error}; or give numbers: {names[0]}=...") from error
        rows, table = survey.parts["train"].rows, survey.stamps.columns
        columns = {name: table[name][rows].astype(float) for name in names if name in table}
        if "redshift" in columns:
            columns["redshift"] = known_redshifts(columns["redshift"])
        known = np.isfinite(list(columns.values())).all(axis=0)
        if len(columns) < len(names) or not known.any():
            raise GalgenError(f"{names[0]}=survey: {survey.file} has no {' and '.join(names)}")
        return {name: values[known] for name, values in columns.items()}

    def _warn_beyond(self, values: Mapping[str, ArrayLike | None], prior: str) -> None:
        """Warn of numbers that model and prior have not seen, by the name of the condition."""
        for name, (low, high) in self.condition_ranges(prior).items():
            asked = np.asarray([] if values.get(name) is None else values[name], float)
            if np.any(asked < low) or np.any(asked > high):
                log.warning(
                    "%s: %s of %.3g to %.3g goes beyond the %.3g to %.3g of the training: what the "
                    "model makes there is extrapolated",
                    *(self.name, name, np.nanmin(asked), np.nanmax(asked), low, high),
                )

    def learned_conditions(self) -> "SurveyConditions":
        """Return the distribution of the survey's redshifts, magnitudes and sizes.

        Raises:
            GalgenError: if it was not learned, or has no redshift and the model needs one.
        """
        conditions, _ = read(self.directory, CONDITIONS)
        if self.model.conditional and "redshift" not in conditions.names:
            raise GalgenError(
                f"{path_of(self.directory, CONDITIONS)} knows no redshift, which {self.name} needs"
            )
        return conditions.to(self.model.device)

    def training_redshifts(self) -> np.ndarray:
        """Return the redshifts of the training part, (N,).

        Raises:
            GalgenError: if the survey is not at hand.
        """
        try:
            return self.survey.training_redshifts()
        except GalgenError as error:
            raise GalgenError(f"{error}; or say which redshifts: redshift=0.5") from error
