"""The posteriors of conditions of many galaxies, of a run's survey or of a user's file."""

import logging
from pathlib import Path

import numpy as np

from galgen.data.stamp_file import GENERATED, StampFile, known_redshifts
from galgen.errors import GalgenError
from galgen.priors.condition_posterior import ConditionPosterior, Seen
from galgen.runs.conditions import COLUMNS
from galgen.runs.given_stamps import GivenStamps
from galgen.runs.seen_galaxies import see, see_part
from galgen.runs.trained_run import TrainedRun

log = logging.getLogger(__name__)


class ConditionPosteriors:
    """The posteriors of galaxies that a run has encoded.

    Args:
        posterior: what latents and fluxes say about conditions.
        seen: of N galaxies.
        ids: of the galaxies, (N,).
        true: known conditions by name, (N,) each, NaN where unknown.
        described: the galaxies in words.
        generated: whether a model made them, so that `true` is what they were asked for.
    """

    def __init__(
        self,
        posterior: ConditionPosterior,
        seen: Seen,
        ids: np.ndarray,
        true: dict[str, np.ndarray],
        described: str,
        generated: bool = False,
    ):
        self.posterior, self.seen = posterior, seen
        self.ids, self.true = ids, true
        self.described, self.generated = described, generated

    @classmethod
    def of_part(
        cls, run: TrainedRun, posterior: ConditionPosterior, part: str
    ) -> "ConditionPosteriors":
        """Encode a part of the run's survey.

        Raises:
            GalgenError: if the survey is not available.
        """
        rows = run.survey.parts[part].rows
        ids, true = known_conditions(run.survey.stamps, rows, posterior.names)
        simulated = "simulated " if run.attributes.get("survey") == "simulated" else ""
        return cls(
            posterior, see_part(run, part), ids, true, f"{simulated}galaxies of the {part} part"
        )

    @classmethod
    def of_file(
        cls,
        run: TrainedRun,
        posterior: ConditionPosterior,
        path: Path,
        pixel_scale: float | None,
        zero_point,
    ) -> "ConditionPosteriors":
        """Encode the stamps of a file; arguments as `GivenStamps`.

        Raises:
            GalgenError: if they do not fit the run.
        """
        given = GivenStamps(run, path, pixel_scale, zero_point)
        seen = see(run, given.batch, len(given))
        finite = seen.latent.isfinite().all(dim=1) & seen.flux.isfinite().all(dim=1)
        if not finite.all():
            raise GalgenError(
                f"images={path}: the encoder makes no number of {int((~finite).sum())} stamps, the "
                f"first in row {int((~finite).nonzero()[0])} (counted from 0). Look at its pixels."
            )
        if beyond := int(posterior.beyond(seen).sum()):
            log.warning(
                "images=%s: %d of %d galaxies have fluxes or colours beyond all that %s learned "
                "from. Their posteriors are extrapolated",
                *(path, beyond, len(given), run.name),
            )
        ids, true = known_conditions(given.stamps, np.arange(len(given)), posterior.names)
        generated = given.stamps.attrs.get("recipe") == GENERATED
        described = f"{'generated ' * generated}galaxies of {path.name}"
        return cls(posterior, seen, ids, true, described, generated)

    @property
    def names(self) -> list[str]:
        """Names of the conditions."""
        return self.posterior.names

    def grid(self, name: str, points: int) -> np.ndarray:
        """Return values over a condition's range in the survey, (points,)."""
        return self.posterior.grid(name, points)

    def cumulative(self, name: str, grid: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
        """Return the distributions of a condition at values (G,), of some galaxies, (n, G)."""
        return self.posterior.distribution(name, self.seen.rows(rows), grid)

    def pit(self, name: str) -> np.ndarray:
        """Return the distributions at the known values, (N,), NaN where unknown."""
        true = self.true[name]
        return self.posterior.distribution(name, self.seen, true[:, None])[:, 0]

    def median(self, name: str) -> np.ndarray:
        """Return the medians of a condition, (N,)."""
        grid = self.grid(name, 1001)
        return np.array([np.interp(0.5, row, grid) for row in self.cumulative(name, grid)])

    def prior_median(self) -> float:
        """Return the median redshift of the survey."""
        grid = self.grid("redshift", 1001)
        return float(np.interp(0, self.posterior.score("redshift", grid), grid))


def known_conditions(
    stamps: StampFile, rows: np.ndarray, names: list[str]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return ids and known conditions of galaxies."""
    ids = stamps.columns.get("galaxy_id", np.arange(len(stamps)))[rows]
    true = {}
    for name in names:
        if COLUMNS[name] in stamps.columns:
            values = stamps.by_galaxy(COLUMNS[name])[rows].astype(float)
            if name == "redshift":
                values = known_redshifts(values).astype(float)
            if np.isfinite(values).any():
                true[name] = values
    return ids, true
