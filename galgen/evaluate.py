"""`python -m galgen.evaluate`: how good the galaxies are that a run generates."""

import json
import time
from pathlib import Path

from omegaconf import DictConfig

from galgen.config.command import command
from galgen.config.rules import LEAST_EVALUATED, check_whole_numbers
from galgen.config.run_paths import results_folder
from galgen.files import write_text
from galgen.reports.score_table import print_table

LARGEST = 1_000_000
MOST_SEEDS = 100


@command("evaluate", words="run", resumes=False)
def main(config: DictConfig) -> None:
    """Evaluate a run; print the scores and the path of the results."""
    check(config)
    from galgen.evaluation.evaluation import Evaluation  # torch, after the config has been checked
    from galgen.runs.trained_run import TrainedRun

    started = time.perf_counter()
    run = TrainedRun(config.run, config.device, config.data.file)
    priors = list(config.prior or run.priors)
    result = Evaluation(run, config.n, priors, config.seeds).evaluate()
    result.facts["seconds"] = round(time.perf_counter() - started, 1)
    path = results_folder(run.directory) / "evaluation.json"
    write_text(path, json.dumps(without_nan(result.facts), indent=2))
    print_table(result.facts)
    print(path)
    log(run, result.facts, draw(run, result))


def check(config: DictConfig) -> None:
    """Check what needs no run.

    Raises:
        GalgenError: if a value is out of range.
    """
    check_whole_numbers(config, {"n": LEAST_EVALUATED}, LARGEST)
    check_whole_numbers(config, {"seeds": 1}, MOST_SEEDS)


def draw(run, result) -> dict[str, Path]:
    """Draw the figures into the run and print their paths; return the PNGs by name."""
    from galgen.figures.evaluation_figures import draw_evaluation
    from galgen.figures.saving import save_all

    folder = results_folder(run.directory) / "figures"
    paths = save_all(draw_evaluation(result, run), folder)
    shown = [path for path in paths if path.suffix == ".png"]
    for path in shown:
        print(path)
    return {path.stem: path for path in shown}


def log(run, facts: dict, pictures: dict[str, Path]) -> None:
    """Log scores and pictures to where the training was logged, W&B or TensorBoard, if it was."""
    from galgen.training.tracking import reopen

    logger = reopen(run.directory, run.config.get("logger"))
    if logger is None:
        return
    compared = (
        f"{facts['n']} generated against {facts['real']} galaxies of '{facts['survey']}', split "
        f"{facts['split']}; {facts['compared']}"
    )
    captioned = {}
    for name, path in pictures.items():
        kind = name.removeprefix("evaluation_")
        captioned[kind] = (path, f"{kind.replace('_', ' ')}: {compared}")
    logger.log_evaluation(without_nan(facts["scores"]), captioned)


def without_nan(value):
    """Return what JSON can hold: None for numbers that are not finite, plain lists and numbers."""
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return None
    return value


if __name__ == "__main__":
    main()
