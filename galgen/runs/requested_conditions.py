"""Requested conditions of a run's galaxies, checked against its model and prior."""

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from galgen.data.stamp_file import known_redshifts
from galgen.errors import GalgenError
from galgen.priors.fitted import CONDITIONS, path_of
from galgen.runs.conditions import COLUMNS, Condition, Conditions, read_conditions
from galgen.runs.run_priors import NORMAL

if TYPE_CHECKING:
    from galgen.priors.conditions import SurveyConditions  # zuko, for those who need it
    from galgen.runs.trained_run import TrainedRun

log = logging.getLogger(__name__)

MAGNITUDE_OF_PEAKS = (
    "a magnitude chooses shapes alone, since the images have no flux. Scale them yourself"
)
"""Warning."""
UNUSUAL = 4.0
"""Standard deviations from the survey's galaxies that conditions are called unusual at."""
TRIED = 500
"""Galaxies whose conditions are looked at."""


def requested_conditions(run: "TrainedRun", keys: Mapping, prior: str) -> Conditions:
    """Check the requested conditions.

    Values beyond those of the training are a warning, once.

    Args:
        run: the trained run.
        keys: numbers, ranges, lists or `survey` by the name of the condition, as `Condition`
            takes them; None for those not requested.
        prior: what latents are drawn from.

    Raises:
        GalgenError: if neither model nor prior knows a condition, the model needs a redshift
            and none is given, or the survey is not available.
    """
    requested, known = read_conditions(keys), known_conditions(run, prior)
    for name, condition in requested.items():
        if name not in known:
            wish = f"{name}={condition.text}"
            raise GalgenError(ignored(run, name, wish, prior))
    if run.model.conditional and "redshift" not in requested:
        raise GalgenError(
            f"{run.name} is a {run.model.name}, which needs a redshift: redshift=0.5, "
            "redshift=0.1:2, redshift=[0.1,0.5] or redshift=survey."
        )
    ranges = condition_ranges(run, prior)
    for name, condition in requested.items():
        run.warn_once(condition.outside(ranges.get(name, (-math.inf, math.inf))))
    if "magnitude" in requested and run.unit == "peak":
        run.warn_once(MAGNITUDE_OF_PEAKS)
    of_survey = [name for name, condition in requested.items() if condition.values is None]
    run.warn_once(_contradiction(run, requested))
    return Conditions(requested, _training_columns(run, of_survey) if of_survey else None)


def requested_redshifts(run: "TrainedRun", wanted) -> Condition | None:
    """Check the redshifts that a conditional model decodes latents at.

    Args:
        run: the trained run.
        wanted: as `Condition` takes it; None for a model without redshift.

    Raises:
        GalgenError: if the model needs a redshift and none is wanted, or the other way round.
    """
    return requested_conditions(run, {"redshift": wanted}, NORMAL).requested.get("redshift")


def known_conditions(run: "TrainedRun", prior: str) -> list[str]:
    """Name the conditions that the model or a prior knows.

    Args:
        run: the trained run.
        prior: what latents are drawn from.
    """
    known = ["redshift"] if run.model.conditional else []
    return list(dict.fromkeys([*known, *run.priors[prior].conditions]))


def condition_ranges(run: "TrainedRun", prior: str) -> dict[str, tuple[float, float]]:
    """Return the smallest and largest of each condition in the training part, by name.

    Args:
        run: the trained run.
        prior: what latents are drawn from.
    """
    run.priors[prior]  # reads its ranges
    ranges = dict(run.priors.ranges[prior])
    if run.model.conditional:
        ranges["redshift"] = run.trained_redshifts
    return ranges


def warn_beyond(run: "TrainedRun", values: Mapping[str, ArrayLike | None], prior: str) -> None:
    """Warn of numbers that model and prior have not seen, by the name of the condition."""
    for name, (low, high) in condition_ranges(run, prior).items():
        requested = np.asarray([] if values.get(name) is None else values[name], float)
        if np.any(requested < low) or np.any(requested > high):
            log.warning(
                "%s: %s of %.3g to %.3g goes beyond the %.3g to %.3g of the training: there "
                "the model extrapolates",
                *(run.name, name, np.nanmin(requested), np.nanmax(requested), low, high),
            )


def training_redshifts(run: "TrainedRun") -> np.ndarray:
    """Return the redshifts of the training part, (N,).

    Raises:
        GalgenError: if the survey is not available.
    """
    try:
        return run.survey.training_redshifts()
    except GalgenError as error:
        raise GalgenError(f"{error} Or give redshifts: redshift=0.5.") from error


def ignored(run: "TrainedRun", name: str, wish: str, prior: str) -> str:
    """Say that a condition would be ignored, and which prior knows it.

    Args:
        run: the trained run.
        name: of the condition.
        wish: the condition as the user wrote it.
        prior: what latents are drawn from.
    """
    fitted = [other for other in run.priors if name in run.priors[other].conditions]
    if fitted:
        return f"{wish}: prior={prior} does not know it. Use prior={fitted[0]}"
    if name == "redshift":
        return (
            f"{wish}: {run.name} is a {run.model.name}, which does not use redshift. A prior may: "
            f"python -m galgen.fit_prior run={run.directory} prior=flow"
        )
    return (
        f"{wish}: neither {run.name} nor prior={prior} knows it. If the survey has such a "
        f"column, fit a prior that does: python -m galgen.fit_prior run={run.directory}"
    )


def _contradiction(run: "TrainedRun", requested: Mapping[str, Condition]) -> str | None:
    """Say so if conditions are each like the survey's, and are not together."""
    numbers = {name: c for name, c in requested.items() if c.values is not None}
    if len(numbers) < 2 or not path_of(run.directory, CONDITIONS).is_file():
        return None
    survey = run.priors.survey_conditions
    drawn = {
        name: condition.draw(0, 0, TRIED)
        for name, condition in numbers.items()
        if name in survey.names
    }
    far = survey.distance(drawn) if len(drawn) > 1 else np.zeros(1)
    if far.max() < UNUSUAL:
        return None
    share = "" if far.min() >= UNUSUAL else f"{np.mean(far >= UNUSUAL):.0%} of "
    return (
        f"{', '.join(f'{name}={numbers[name].text}' for name in drawn)}: {share}such galaxies are "
        f"{far.max():.1f} standard deviations from the survey's, where the prior extrapolates"
    )


def _training_columns(run: "TrainedRun", names: list[str]) -> dict[str, np.ndarray]:
    """Return columns of the training part's galaxies that have all of them, (N,) each.

    Raises:
        GalgenError: if the survey is not available, or no galaxy has them.
    """
    try:
        survey = run.survey
    except GalgenError as error:
        raise GalgenError(f"{error} Or give numbers: {names[0]}=...") from error
    rows, table = survey.parts["train"].rows, survey.stamps.columns
    columns = {
        name: survey.stamps.by_galaxy(COLUMNS[name])[rows].astype(float)
        for name in names
        if COLUMNS[name] in table
    }
    if "redshift" in columns:
        columns["redshift"] = known_redshifts(columns["redshift"])
    known = np.isfinite(list(columns.values())).all(axis=0)
    if len(columns) < len(names) or not known.any():
        raise GalgenError(f"{names[0]}=survey: {survey.file} has no {' and '.join(names)}.")
    return {name: values[known] for name, values in columns.items()}


def learned_conditions(run: "TrainedRun") -> "SurveyConditions":
    """Return the distribution of the survey's redshifts, magnitudes and sizes.

    Args:
        run: the trained run.

    Raises:
        GalgenError: if it was not learned, or has no redshift and the model needs one.
    """
    conditions = run.priors.survey_conditions
    if run.model.conditional and "redshift" not in conditions.names:
        raise GalgenError(
            f"{path_of(run.directory, CONDITIONS)} does not use redshift, which {run.name} needs."
        )
    return conditions
