"""The priors of a trained run: which are fitted, and which is the best for a request."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from galgen.errors import GalgenError
from galgen.models.checkpoints import read_checkpoint
from galgen.priors import fitted
from galgen.priors.base import Prior
from galgen.priors.normal import StandardNormal

if TYPE_CHECKING:
    from galgen.priors.conditions import SurveyConditions  # zuko, for those who need it

NORMAL = "normal"
"""Name of N(0, 1), which needs no fit."""


class RunPriors(Mapping):
    """The priors of a run by name, N(0, 1) first; fitted ones are read when used.

    Args:
        directory: the run directory.
        model: the run's model, whose device they go to.
        weights_sha256: of the model's checkpoint.
    """

    def __init__(self, directory: Path, model, weights_sha256: str):
        self.directory, self.model, self.weights_sha256 = Path(directory), model, weights_sha256
        self.priors: dict[str, Prior] = {NORMAL: StandardNormal(model.latent_dim)}
        self.ranges: dict[str, dict[str, tuple[float, float]]] = {NORMAL: {}}

    def __getitem__(self, name: str) -> Prior:
        """Return a prior, on the model's device.

        Raises:
            GalgenError: if it was not fitted, is damaged, or was fitted to other weights.
        """
        if name not in self.priors:
            if name not in self:
                raise GalgenError(
                    f"prior={name}: it is not fitted to {self.directory}, which has "
                    f"{', '.join(self)}. Fit it: python -m galgen.fit_prior run={self.directory} "
                    f"prior={name}"
                )
            prior, about = fitted.read(self.directory, name)
            if about["weights_sha256"] != self.weights_sha256:
                raise GalgenError(
                    f"prior={name}: {fitted.path_of(self.directory, name)} was fitted to other "
                    "weights than the model's. Fit it again: python -m galgen.fit_prior "
                    f"run={self.directory} prior={name}"
                )
            self.ranges[name] = {
                name: (float(low), float(high))
                for name, (low, high) in about.get("ranges", {}).items()
            }
            self.priors[name] = prior
        return self.priors[name].to(self.model.device)

    def __contains__(self, name: object) -> bool:
        return name == NORMAL or name in fitted.names_of(self.directory)

    def __iter__(self) -> Iterator[str]:
        return iter([NORMAL, *fitted.names_of(self.directory)])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @functools.cached_property
    def survey_conditions(self) -> "SurveyConditions":
        """The distribution of the survey's redshifts, magnitudes and sizes, read once.

        Raises:
            GalgenError: if it was not learned, or its file is damaged.
        """
        return fitted.read(self.directory, fitted.CONDITIONS)[0].to(self.model.device)

    @functools.cached_property
    def costs(self) -> dict[str, tuple[float, float]]:
        """What held-out latents cost under each fitted prior and under N(0, 1).

        Nats by name, the cheapest prior first; of priors that were fitted to these weights.

        Raises:
            GalgenError: if a file is damaged.
        """
        found = {}
        for name in fitted.names_of(self.directory):
            path = fitted.path_of(self.directory, name)
            about = read_checkpoint(path)
            if about.get("weights_sha256") == self.weights_sha256:
                try:
                    found[name] = float(about["val_nll"]), float(about["val_nll_normal"])
                except (KeyError, TypeError, ValueError) as error:
                    raise GalgenError(f"{path} is damaged: {error!r}") from error
        return dict(sorted(found.items(), key=lambda item: item[1][0]))

    @property
    def better(self) -> list[str]:
        """The fitted priors under which held-out latents cost less than under N(0, 1)."""
        return [name for name, (cost, normal) in self.costs.items() if cost < normal]

    def choose(self, requested: set[str]) -> str:
        """Return the cheapest fitted prior that knows some conditions.

        If none knows them, it is the cheapest of all; N(0, 1) if no fitted prior is better.

        Args:
            requested: names of the conditions.
        """
        able = (name for name in self.better if requested <= set(self[name].conditions))
        return next(able, next(iter(self.better), NORMAL))

    def note(self, name: str) -> str | None:
        """Say why a prior is not the best choice; None where it is a good one."""
        if name != NORMAL:
            cost, normal = self.costs.get(name, (float("-inf"), 0))
            if cost < normal:
                return None
            return (
                f"prior={name}: held-out latents cost {cost:.1f} nats, more than the {normal:.1f} "
                "under N(0, 1). Fit it to more galaxies, or use prior=normal, which knows no "
                "magnitude or size"
            )
        if not self.costs:
            return (
                "prior=normal: no prior is fitted to this run, and the encoder does not put "
                "galaxies where N(0, 1) does. Fit one: python -m galgen.fit_prior "
                f"run={self.directory}"
            )
        if not self.better:
            return None
        best = self.better[0]
        cost, normal = self.costs[best]
        return (
            f"prior=normal: held-out latents cost {normal:.1f} nats under N(0, 1) and {cost:.1f} "
            f"under prior={best}, which draws galaxies more like the survey's"
        )
