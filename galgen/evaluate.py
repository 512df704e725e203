"""`python -m galgen.evaluate`: how good the galaxies are that a run generates."""

import json
import time
from pathlib import Path

from omegaconf import DictConfig

from galgen.config.command import command
from galgen.config.rules import LEAST_EVALUATED, check_whole_numbers
from galgen.files import write_text

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
    path = run.directory / "evaluation.json"
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

    paths = save_all(draw_evaluation(result, run), run.directory / "figures")
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


def print_table(facts: dict) -> None:
    """Print the scores, a row for each prior and control, those of colours in a second table."""
    from rich.console import Console

    from galgen.evaluation.scores import METRICS

    simulated = "simulated " if facts["simulated"] else ""
    title = (
        f"{facts['run']}: {facts['n']} generated against {facts['real']} {simulated}galaxies "
        f"of '{facts['survey']}', split {facts['split']}, {len(facts['seeds'])} seeds"
    )
    caption = f"W1/σ: mean over {', '.join(facts['headline'])}. Compared: {facts['compared']}."
    shown = {name: metric for name, metric in METRICS.items() if metric.in_table}
    of_colours = {name: shown.pop(name) for name in list(shown) if shown[name].of_colours}
    console = Console()
    console.width = max(console.width, 130)
    console.print(_table(shown, facts["scores"], title=title, caption=caption))
    if any(name in scores for name in of_colours for scores in facts["scores"].values()):
        bands = ", ".join(facts["bands"])
        console.print(
            _table(of_colours, facts["scores"], title=f"colours of neighbours in {bands}")
        )
    for note in facts["left_out"]:
        console.print(f"- {note}", highlight=False)


def _table(metrics: dict, scores: dict[str, dict], **words: str):
    """Make a table of metrics, a row for each sample."""
    from rich.table import Table

    table = Table(**words)
    table.add_column("sample", no_wrap=True)
    for metric in metrics.values():
        table.add_column(metric.label, justify="right")
    table.add_row("ideal", *(metric.ideal_text for metric in metrics.values()), style="dim")
    for name, row in scores.items():
        cells = [row.get(key) for key in metrics]
        texts = ["" if cell is None or cell != cell else f"{cell:.3f}" for cell in cells]
        table.add_row(name.replace("_", " "), *texts)
    return table


if __name__ == "__main__":
    main()
