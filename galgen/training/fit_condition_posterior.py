"""Learning what latents and fluxes say about redshift, magnitude and size."""

import numpy as np

from galgen.config.explanations import explain
from galgen.errors import GalgenError
from galgen.priors import fitted
from galgen.priors.condition_posterior import ConditionPosterior
from galgen.runs.condition_posteriors import known_conditions
from galgen.runs.conditions import COLUMNS
from galgen.runs.seen_galaxies import see_part
from galgen.runs.trained_run import TrainedRun


def fit_condition_posterior(run: TrainedRun, seed: int) -> str:
    """Learn the posteriors of a survey's conditions, save them in the run, and say which they are.

    Args:
        run: the trained run.
        seed: of weights and order.

    Raises:
        GalgenError: if the survey is missing, or has no conditions.
    """
    columns = {}
    for part in ("train", "val"):
        rows = run.survey.parts[part].rows
        columns[part] = known_conditions(run.survey.stamps, rows, list(COLUMNS))[1]
    names = list(columns["train"])
    if not names:
        raise GalgenError(
            f"run={run.directory}: its survey has no redshifts, magnitudes or sizes to learn from. "
            "Train on a survey that has."
        )
    data = []
    for part, known in columns.items():
        unknown = np.full(len(run.survey.parts[part]), np.nan)
        conditions = np.stack([known.get(name, unknown) for name in names], axis=1)
        data.append((see_part(run, part), conditions))
    sizes = {"latent_dim": run.model.latent_dim, "bands": run.model.bands, "names": names}
    module = ConditionPosterior(**sizes)
    try:
        module.fit(*data, seed)
    except ValueError as error:
        raise GalgenError(f"run={run.directory}: {explain(error)}") from error
    target = f"{ConditionPosterior.__module__}.{ConditionPosterior.__qualname__}"
    about = {"weights_sha256": run.weights_sha256}
    path = fitted.save(
        run.directory, fitted.POSTERIOR, module, {"_target_": target, **sizes}, about
    )
    return f"{path}: {', '.join(names)}, learned from {len(data[0][1])} galaxies"
