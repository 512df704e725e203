"""What a search minimises: the validation loss, or a score of the evaluation."""

import hashlib
import json
import subprocess

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

from galgen.config.rules import LOSSES
from galgen.errors import GalgenError
from galgen.runs.directory import Run
from galgen.runs.prior_records import fitted_priors
from galgen.runs.run_config import stored_form
from galgen.sweeps.job_records import python

LOSS = "val/loss"
OF_THE_BATCHES = ("seed", "batch_size", "cache", "cache_dtype", "cache_gb", "num_workers")
"""Keys of a survey's config that change how it is read, and no galaxy of its validation part."""
OF_THE_TRAINING = ("augment", "max_shift")
"""Keys that change the objective only as the training sees it."""
SHAPES = ("start", "warmup", "cycles", "ramp")
"""Keys of a beta schedule that leave the beta alone at which it arrives."""


def objective(config: DictConfig, run: Run) -> float:
    """Return the value of a finished run that its sweep's search minimises.

    Args:
        config: the train config; `search.objective` is `val/loss` or, from evaluation.json, a
            score of a prior, such as `flow.mean_w1`, with `search.n` galaxies.
        run: the run, which is done.

    Raises:
        GalgenError: if there is no such score.
    """
    wanted = _wanted(config)
    if wanted in run.result["best"]:
        return run.result["best"][wanted]
    prior, _, name = wanted.partition(".")
    path = run.directory / "evaluation.json"
    facts = json.loads(path.read_text()) if path.is_file() else {}
    if name not in facts.get("scores", {}).get(prior, {}):
        directory = QuotedString(str(run.directory), Quote.single).with_quotes()
        if prior != "normal" and prior not in fitted_priors(run.directory):
            _command("fit_prior", f"run={directory}", f"prior={prior}")
        arguments = (f"prior=[{prior}]", f"n={config.search.n}", "seeds=1")
        _command("evaluate", f"run={directory}", *arguments)
        facts = json.loads(path.read_text())
    value = facts["scores"].get(prior, {}).get(name)
    if value is None:
        known = ", ".join(facts["scores"].get(prior, {}))
        raise GalgenError(
            f"search.objective={wanted}: there is no such score, or it could not be measured on "
            f"galaxies of {run.directory}; there are {known}."
        )
    return value


def quantity(config: DictConfig) -> str:
    """Hash all that makes a run's objective the quantity that it is.

    The objectives of two runs can be compared where this is the same: scores need the same survey,
    the terms of a loss the same images and likelihood too, and the loss the same weights of them.

    Args:
        config: the train config.
    """
    wanted, content = _wanted(config), OmegaConf.to_container(stored_form(config))
    ignored = OF_THE_BATCHES + OF_THE_TRAINING
    kept = [wanted, {key: value for key, value in content["data"].items() if key not in ignored}]
    if wanted in LOSSES:
        kept += [content["likelihood"], content["trainer"]["limit_val_batches"]]
    if wanted == LOSS:
        schedule = content["beta_schedule"]
        kept += [schedule.get("beta", schedule.get("values", [None])[-1])]
        kept += [content["model"].get("redshift_weight")]
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def check_search(config: DictConfig, varied: list[str]) -> None:
    """Check that the objectives of a search can be compared.

    Args:
        config: the sweep's train config.
        varied: the keys that the search varies.

    Raises:
        GalgenError: if they cannot.
    """
    wanted = _wanted(config)
    for key in varied if config.search else []:
        group, _, name = key.partition(".")
        score = "a score of the evaluation, such as search.objective=normal.c2st"
        if wanted == LOSS and group == "beta_schedule" and name and name not in SHAPES:
            raise GalgenError(
                f"search.objective={LOSS}: the loss holds beta times KL, so a search over {key} "
                f"would choose the smallest beta. Give {score}."
            )
        if wanted in LOSSES and group in ("likelihood", "transform"):
            raise GalgenError(
                f"search.objective={wanted}: it is another quantity for each value of {key}. Give "
                f"{score}."
            )
        if group == "data" and name not in OF_THE_BATCHES + OF_THE_TRAINING:
            raise GalgenError(
                f"search.objective={wanted}: it cannot be compared between surveys, and the search "
                f"varies {key}. Search on one survey at a time."
            )


def _wanted(config: DictConfig) -> str:
    return config.search.objective if config.search else LOSS


def _command(name: str, *arguments: str) -> None:
    words = [*python(), "-m", f"galgen.{name}", *arguments]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or [f"galgen.{name} failed"])[-1]
        raise GalgenError(said.removeprefix("galgen: "))
