"""A trained run, ready to be used: its model, its unit and scale, the survey it learned from."""

import functools
import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike

from galgen import runs
from galgen.config import check_targets, instantiate, locate
from galgen.data.datamodules import SurveyDataModule
from galgen.errors import GalgenError
from galgen.files import expand
from galgen.fitted_priors import CONDITIONS, path_of, read
from galgen.loading import load_model
from galgen.redshifts import Redshifts

if TYPE_CHECKING:
    from galgen.models.survey_conditions import SurveyConditions  # zuko, for those who need it

log = logging.getLogger(__name__)

OF_TRANSFORMS = ("galgen.data.transforms",)
OF_SURVEYS = ("galgen.data.surveys", *OF_TRANSFORMS)
"""Where the classes come from that a run's config may name, for the nodes that are used here."""
PEAK = "peak"
"""Unit of images that are scaled to their brightest pixel."""


class TrainedRun:
    """A run whose model is used: the best weights of a finished one, else the last.

    Args:
        directory: the run directory.
        device: where the model computes; a GPU if there is one, where None.
        data_file: stamp file of its survey, where it is not where the training found it.

    Attributes:
        directory: the run directory.
        name: the run's.
        config: the resolved config.
        facts: what data.json keeps.
        model: in eval mode, on the device.
        transform: between the stamp file's unit and the model's scale.
        trained_redshifts: smallest and largest redshift of the training part.

    Raises:
        GalgenError: if it is no run, has no checkpoint yet, or one that is damaged.
    """

    def __init__(
        self, directory: str | Path, device: str | None = None, data_file: str | None = None
    ):
        self.directory = expand(directory)
        self.config = runs.read_config(self.directory)
        check_targets(self.config.transform, OF_TRANSFORMS)
        check_targets(self.config.data, OF_SURVEYS)
        self.name = self.config.run_name or self.directory.name
        self.facts = runs.read_facts(self.directory)
        self.data_file, self.warned = data_file, False
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self.model = load_model(self.directory).to(device)
        except (RuntimeError, AssertionError) as error:  # of torch, about the device
            raise GalgenError(f"device={device}: {str(error).splitlines()[0]}") from error
        self.transform = instantiate(self.config.transform)
        self.trained_redshifts = self.model.trained_redshifts
        del self.model.trained_redshifts  # `redshifts` warns for all that is made with this run

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
        return self.attributes.get("unit", PEAK)

    @property
    def pixel_scale(self) -> float | None:
        """Side of a pixel, arcsec, where it is known."""
        survey = locate("data", self.config.data._target_)
        scale = self.attributes.get("pixel_scale", survey.pixel_scale)
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
        survey.prepare_data()
        if not Path(survey.file).is_file():
            raise GalgenError(
                f"{survey.file}: there is no such stamp file; {survey.how_to_get}; or say where it "
                "was moved to, data.file=<that file>"
            )
        survey.setup()
        if self.model.conditional:
            survey.require_redshifts()
        found = {"stamps": len(survey.stamps), "split": survey.split_facts()}
        found["redshift"] = (survey.redshift_statistics() or {}).get("sha256")
        trained_on = {name: self.facts.get(name) for name in ("stamps", "split")}
        trained_on["redshift"] = (self.facts.get("redshift") or {}).get("sha256")
        if trained_on["split"] and trained_on != found:
            raise GalgenError(
                f"{survey.file} holds other galaxies than {self.directory} was trained on; give "
                "data.file=<that file>"
            )
        return survey

    def redshifts(self, wanted) -> Redshifts | None:
        """Check what redshifts the user wants, and warn where the model has not seen such.

        Args:
            wanted: as `Redshifts` takes it; None for a model without redshift.

        Raises:
            GalgenError: if the model needs a redshift and none is wanted, or the other way round.
        """
        if not self.model.conditional:
            if wanted is not None:
                raise GalgenError(
                    f"{self.name} is a {self.model.name}, which knows no redshift; leave "
                    f"redshift={wanted} out"
                )
            return None
        if wanted is None:
            raise GalgenError(
                f"{self.name} is a {self.model.name}, which needs a redshift: redshift=0.5, "
                "redshift=0.1:2, redshift=[0.1,0.5] or redshift=survey"
            )
        redshifts = Redshifts(wanted)
        warning = redshifts.outside(self.trained_redshifts)
        if warning and not self.warned:
            log.warning("%s", warning)
            self.warned = True
        return redshifts

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
