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

from galgen.config import releases
from galgen.config.run_paths import locate as locate_run
from galgen.config.targets import check_names, instantiate
from galgen.data.batch import Batch
from galgen.data.exposures import Exposures, KeptExposures
from galgen.errors import GalgenError
from galgen.models.blocks import in_blocks, latent_block
from galgen.models.telescope import on_survey_pixels
from galgen.priors.random_numbers import standard_normal
from galgen.runs.conditions import STREAMS
from galgen.runs.image_facts import ImageFacts
from galgen.runs.model_weights import decode, load_model
from galgen.runs.reading import checkpoint_path, is_finished, read_facts, read_verdict
from galgen.runs.requested_conditions import ignored, known_conditions, warn_beyond
from galgen.runs.run_config import keep_scale, read_config
from galgen.runs.run_priors import RunPriors
from galgen.runs.run_survey import OF_SURVEYS, open_survey
from galgen.runs.verdict import cautions

if TYPE_CHECKING:
    from galgen.data.data_module import SurveyDataModule  # Lightning, for those who need it

log = logging.getLogger(__name__)

OF_TRANSFORMS = ("galgen.data.transforms",)
"""Where the classes come from that a run's config may name as its transform."""
EXPOSURES = "exposures.h5"
"""File of a released model with the PSFs and the noise of its survey."""


class TrainedRun(ImageFacts):
    """A run whose model is used; images go in and come out in the run's unit.

    Args:
        directory: the run directory, the name of a released model, or the URL of one.
        device: where the model computes; a GPU if there is one, where None.
        data_file: stamp file of its survey, where it is not where the training found it.
        checkpoint: `best` or `last`; where None, the best of a finished run, else the last.

    Attributes:
        directory: the run directory.
        name: the run's.
        config: the resolved config.
        facts: what data.json keeps.
        model: in eval mode, on the device.
        epochs: that its weights were trained for.
        transform: between the stamp file's unit and the model's scale.
        trained_redshifts: smallest and largest redshift of the training part.
        verdict: how the training judged the model (`galgen.runs.verdict.judge`); None where it
            did not.

    Raises:
        GalgenError: if it is not a run, or its checkpoint is missing or damaged.
    """

    def __init__(
        self,
        directory: str | Path,
        device: str | None = None,
        data_file: str | None = None,
        checkpoint: str | None = None,
    ):
        self.directory = locate_run(directory)
        releases.check(self.directory)
        self.config = read_config(self.directory)
        check_names(self.config.data, OF_SURVEYS)
        self.name = self.config.run_name or self.directory.name
        self.facts = read_facts(self.directory)
        keep_scale(self.config, self.facts)
        self.data_file, self.warned = data_file, set()
        path = checkpoint_path(self.directory, checkpoint)
        model, self.weights_sha256, self.epochs = load_model(self.config.model, path)
        if not is_finished(self.directory):
            log.warning(
                "%s is not finished: these are its weights of epoch %d", self.directory, self.epochs
            )
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self.model = model.to(device)
        except (RuntimeError, AssertionError) as error:  # of torch, about the device
            raise GalgenError(f"device={device}: {str(error).splitlines()[0]}") from error
        self.priors = RunPriors(self.directory, self.model, self.weights_sha256)
        self.transform = instantiate(self.config.transform, OF_TRANSFORMS)
        trained = self.facts.get("redshift") or {"min": 0.0, "max": math.inf}
        self.trained_redshifts = (trained["min"], trained["max"])
        self.verdict = read_verdict(self.directory)
        for caution in cautions(self.verdict):
            log.warning("%s: %s", self.name, caution)

    @property
    def config_sha256(self) -> str:
        """Hash of the run's config, which the model was built from."""
        return hashlib.sha256((self.directory / "config.yaml").read_bytes()).hexdigest()

    def physical(self, images: ArrayLike) -> np.ndarray:
        """Bring the model's images (N, B, H, W) to `unit`, float32."""
        return self.transform.inverse(torch.as_tensor(images).float()).cpu().numpy()

    def scaled(self, images: ArrayLike) -> torch.Tensor:
        """Bring images (N, B, H, W) in the stamp file's unit to the model's scale, on its device.

        A transform that subtracts each stamp's background takes the usual one of the survey.

        Raises:
            ValueError: if they have another shape.
        """
        image = self._tensor(images)
        bands, side = self.model.bands, self.model.image_size
        if image.ndim == 3 and bands == 1:
            image = image[:, None]
        if image.ndim != 4 or image.shape[1:] != (bands, side, side):
            raise ValueError(
                f"images are {tuple(image.shape)}, {self.name} takes (N, {bands}, {side}, {side})"
            )
        background = self.facts.get("background")
        if background is not None:
            background = self._tensor(background).expand(len(image), -1)
        batch = Batch(image, torch.arange(len(image)), background=background)
        return self.transform(batch).image

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
            redshift: one number for all, or (n,); conditional models need it, and others take it
                where the prior knows it.
            prior: the prior that latents are drawn from: `normal`, or a fitted one; as
                `prior_for` chooses where None.
            seed: whole number from 0.
            start: number of the first galaxy.
            **conditions: what else the prior may know, one number for all or (n,), NaN where
                unknown: `magnitude` (AB), `size` (half-light radius, arcsec).

        Returns:
            Images (n, B, H, W) in `unit`, float32.

        Raises:
            GalgenError: if the prior was not fitted.
            ValueError: if a number is out of range, a condition is one that the prior ignores, or
                a conditional model gets no redshift.
        """
        values = {**conditions, "redshift": redshift}
        values = {name: value for name, value in values.items() if value is not None}
        prior = self.prior_for(prior, values)
        for name in values.keys() - set(known_conditions(self, prior)):
            raise ValueError(ignored(self, name, name, prior))
        light = self.make(n, values, prior, seed, start)
        warn_beyond(self, values, prior)
        return on_survey_pixels(light, self.model.oversampling)

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
            Light (n, B, s H, s W) in `unit`, float32, on pixels of `light_scale`.
        """
        latent = self.draw_latents(n, values, prior, seed, start)
        redshift = self._redshifts(values.get("redshift"), n)
        return self.physical(decode(self.model, latent, redshift, start))

    @torch.no_grad()
    def draw_latents(
        self, n: int, values: Mapping[str, ArrayLike], prior: str, seed: int = 0, start: int = 0
    ) -> torch.Tensor:
        """Draw the latents that `make` decodes, (n, latent_dim), on the model's device.

        Args:
            n: number of galaxies.
            values: of the conditions by name, one number for all or (n,) each; a prior takes those
                that it knows, and the others for unknown.
            prior: what latents are drawn from.
            seed: whole number from 0.
            start: number of the first galaxy.

        Raises:
            GalgenError: if the prior was not fitted.
            ValueError: if a number is out of range.
        """
        fitted = self.priors[prior]
        columns = [self._column(name, values.get(name), n) for name in fitted.conditions]
        noise = self._tensor(standard_normal(seed, n, fitted.noise_dim, start))
        rows = torch.stack(columns, dim=1) if columns else noise.new_empty(n, 0)
        return in_blocks(fitted, latent_block(noise.device), start, noise, rows)

    def reconstruct(self, images: ArrayLike, redshift: ArrayLike | None = None) -> np.ndarray:
        """Return the decoded posterior means of images (N, B, H, W), in `unit`, float32.

        Args:
            images: (N, B, H, W), in the stamp file's unit.
            redshift: one number for all, or (N,); conditional models need it.

        Raises:
            ValueError: if the images have another shape, or redshifts are missing or of another
                number.
        """
        return self.decode(self.encode(images, redshift).mean, redshift)

    @torch.no_grad()
    def encode(self, images: ArrayLike, redshift: ArrayLike | None = None) -> Normal:
        """Return the posteriors q(latent | image) of images, batch shape (N, latent_dim).

        A model whose encoder sees noise and PSF takes them for the usual ones of its survey, and so
        does a transform that subtracts a background.

        Args:
            images: (N, B, H, W), in the stamp file's unit.
            redshift: one number for all, or (N,); conditional models need it.

        Raises:
            ValueError: if the images have another shape, or redshifts are missing or of another
                number.
        """
        scaled = self.scaled(images)
        return self.model.encode(scaled, self._redshifts(redshift, len(scaled)))

    @torch.no_grad()
    def encode_batch(self, batch: Batch) -> Normal:
        """Return the posteriors of a batch of the survey, whose images are scaled already."""
        if self.model.conditional:
            self._redshifts(batch.redshift, len(batch.image))  # raises if one is unknown
        return self.model.encode_batch(self.on_device(batch))

    @torch.no_grad()
    def reconstruct_batch(self, batch: Batch) -> np.ndarray:
        """Return the reconstructions of a batch of the survey, in `unit`, (N, B, H, W) float32.

        They are seen through the telescope, as the stamps are.
        """
        return self.physical(self.model.reconstruct(self.on_device(batch)))

    def decode(self, latent: ArrayLike, redshift: ArrayLike | None = None) -> np.ndarray:
        """Return the images (N, B, H, W) of latents, in `unit`, float32; as `light`."""
        return on_survey_pixels(self.light(latent, redshift), self.model.oversampling)

    @torch.no_grad()
    def light(self, latent: ArrayLike, redshift: ArrayLike | None = None) -> np.ndarray:
        """Return the light (N, B, s H, s W) of latents, in `unit`, on pixels of `light_scale`.

        The galaxies of a model without oversampling have s = 1.

        Args:
            latent: (N, latent_dim).
            redshift: one number for all, or (N,); conditional models need it.

        Returns:
            float32.

        Raises:
            ValueError: if the latents have another shape, or redshifts are missing or of another
                number.
        """
        latent = self._tensor(latent)
        if latent.ndim != 2 or latent.shape[1] != self.model.latent_dim:
            raise ValueError(
                f"latents are {tuple(latent.shape)}, {self.name} takes (N, {self.model.latent_dim})"
            )
        return self.physical(decode(self.model, latent, self._redshifts(redshift, len(latent))))

    def prior_for(self, prior: str | None, keys: Mapping) -> str:
        """Return the prior that galaxies are drawn from, and warn once if it is a poor choice.

        Args:
            prior: the requested one; by default the cheapest fitted one that knows the
                conditions, if it is better than N(0, 1).
            keys: the requested conditions; None for those not requested.
        """
        if prior is None:
            requested = {name for name in STREAMS if keys.get(name) is not None}
            prior = self.priors.choose(requested - set(["redshift"] * self.model.conditional))
        self.priors[prior]  # raises if it was not fitted
        self.warn_once(self.priors.note(prior))
        return prior

    def on_device(self, batch: Batch) -> Batch:
        """Return a batch on the model's device."""
        return batch.to(self.model.device)

    def _tensor(self, values: ArrayLike) -> torch.Tensor:
        """Return numbers as a tensor of the model's type, on its device."""
        if not isinstance(values, torch.Tensor):
            values = np.asarray(values, np.float32)  # FITS has another byte order
        return torch.as_tensor(values, dtype=self.model.dtype, device=self.model.device)

    def _column(self, name: str, values: ArrayLike | None, n: int) -> torch.Tensor:
        """Return a condition of n galaxies as a tensor (n,), NaN where it is unknown.

        Raises:
            ValueError: if a value is infinite, or their number is wrong.
        """
        column = self._tensor(math.nan if values is None else values)
        if column.shape not in ((), (1,), (n,)):
            raise ValueError(f"{n} galaxies need {n} of {name}, not {tuple(column.shape)}")
        if column.isinf().any():
            raise ValueError(f"{name} is infinite. Give a number, or NaN where it is unknown")
        return column.expand(n)

    def _redshifts(self, redshift: ArrayLike | None, n: int) -> torch.Tensor | None:
        """Return the redshifts of n galaxies as a tensor (n,); None for a model without.

        Raises:
            ValueError: if they are missing, of another number, negative or not finite.
        """
        if not self.model.conditional:
            return None
        if redshift is None:
            raise ValueError(f"{self.name} is conditional: give it a redshift")
        column = self._column("redshift", redshift, n)
        bad = column[~(column >= 0)]
        if len(bad):
            raise ValueError(f"redshift={bad[0]:g}: it must be 0 or more.")
        return column

    @functools.cached_property
    def survey(self) -> "SurveyDataModule":
        """The survey, split as in the training.

        Raises:
            GalgenError: if its file is missing or another than the training's.
        """
        return open_survey(self)

    @functools.cached_property
    def exposures(self) -> Exposures | KeptExposures:
        """The PSFs and the noise that the training galaxies were taken with.

        Raises:
            GalgenError: if neither the run nor its survey has them here.
        """
        kept = self.directory / EXPOSURES
        if kept.is_file():
            return KeptExposures(kept)
        return Exposures(self.survey.stamps, self.survey.parts["train"].rows)

    def warn_once(self, warning: str | None) -> None:
        """Give a warning, if there is one, unless this run has given it before."""
        if warning and warning not in self.warned:
            log.warning("%s: %s", self.name, warning)
            self.warned.add(warning)
