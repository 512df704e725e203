"""What a search minimises: the validation loss, or a score of the evaluation."""

import json
import subprocess
import sys

from omegaconf import DictConfig

from galgen.errors import GalgenError
from galgen.runs import Run

LOSS = "val/loss"


def objective(config: DictConfig, run: Run) -> float:
    """Return the value of a finished run that its sweep's search minimises.

    Args:
        config: the train config; `search.objective` is `val/loss` or, from evaluation.json, a
            score of a prior, such as `flow.mean_w1`, with `search.n` galaxies.
        run: the run, which is done.

    Raises:
        GalgenError: if there is no such score.
    """
    wanted = config.search.objective if config.search else LOSS
    if wanted in run.result["best"]:
        return run.result["best"][wanted]
    prior, _, name = wanted.partition(".")
    path = run.directory / "evaluation.json"
    facts = json.loads(path.read_text()) if path.is_file() else {}
    if name not in facts.get("scores", {}).get(prior, {}):
        if prior != "normal":
            _command("fit_flow", f"run={run.directory}", f"fit=[{prior}]")
        arguments = (f"prior=[{prior}]", f"n={config.search.n}", "seeds=1")
        _command("evaluate", f"run={run.directory}", *arguments)
        facts = json.loads(path.read_text())
    value = facts["scores"].get(prior, {}).get(name)
    if value is None:
        known = ", ".join(facts["scores"].get(prior, {}))
        raise GalgenError(f"search.objective={wanted}: there is no such score, there are {known}")
    return value


def _command(name: str, *arguments: str) -> None:
    words = [sys.executable, "-m", f"galgen.{name}", *arguments]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise GalgenError((ended.stderr.strip().splitlines() or [f"galgen.{name} failed"])[-1])
