"""A run's model, with its weights and the priors that were fitted to its latents."""

import logging
import math
from pathlib import Path

from galgen.config.explanations import explain
from galgen.config.targets import check_targets, instantiate
from galgen.errors import GalgenError
from galgen.files import expand
from galgen.models.checkpoints import load_weights, read_and_hash
from galgen.priors.fitted import FittedPriors
from galgen.runs import directory as runs

log = logging.getLogger(__name__)

OF_MODELS = ("galgen.models", "galgen.models.beta_schedules", "torch.nn", "torch.optim")
"""Where the classes come from that make up a model."""


def load_model(run: str | Path, checkpoint: str | None = None):
    """Build a run's model and load its weights.

    The model's `trained_redshifts` are the smallest and the largest of the training part; its
    `priors` are those fitted to the run so far.

    Args:
        run: run directory.
        checkpoint: `best` or `last`; where None, the best of a finished run, else the last, with a
            warning.

    Raises:
        GalgenError: if it is no run, has no checkpoint yet, or one that is damaged.
    """
    directory = expand(run)
    config = runs.read_config(directory).model
    finished, path = runs.is_finished(directory), runs.checkpoint_path(directory, checkpoint)
    if not path.is_file():
        raise GalgenError(f"{directory} has no {path.stem} checkpoint yet: {path} is missing")
    check_targets(config, OF_MODELS)
    try:
        model = instantiate(config)
    except Exception as error:  # whatever a class makes of arguments that somebody changed
        raise GalgenError(f"{directory}/config.yaml: {explain(error)}") from error
    state, model.weights_sha256 = read_and_hash(path)
    load_weights(model, state["state_dict"], path)
    if not all(weights.isfinite().all() for weights in model.parameters()):
        raise GalgenError(f"{path}: its weights are not finite. Train the model again")
    if not finished:
        epochs = state.get("epoch", -1) + 1
        log.warning("%s is not finished: these are its weights of epoch %d", directory, epochs)
    redshift = runs.read_facts(directory).get("redshift") or {"min": 0.0, "max": math.inf}
    model.trained_redshifts = (redshift["min"], redshift["max"])
    model.priors = FittedPriors(directory, model)
    return model.eval().requires_grad_(False)
