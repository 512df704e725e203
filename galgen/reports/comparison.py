"""Runs side by side: their settings, results and scores."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from galgen.config.explanations import explain
from galgen.errors import GalgenError
from galgen.evaluation.scores import METRICS, ideal_of
from galgen.reports import facts
from galgen.reports.facts import text
from galgen.runs import metrics as records
from galgen.runs.reading import is_finished, read_facts, read_verdict
from galgen.runs.run_config import read_unchecked_config
from galgen.runs.verdict import cautions

CONTROLS = ("posterior", "real_half", "shuffled", "sersic", "training")
"""Samples of an evaluation that come from no prior."""
MOST_DIFFERENCES = 6
"""Keys of the configs that get a column."""
LISTED = ("model.name", "model._target_", "data.name", "data._target_", "likelihood.", "logger.")
"""Beginnings of keys that have columns of their own, or that change no number."""
VARIED = ("seed", "beta_schedule.beta", "beta_schedule.values")
"""Keys in which the runs of one line of the figure differ."""
INCOMPARABLE = {
    "survey": "The surveys differ ({}): neither losses nor scores can be compared.",
    "images": "The images differ ({}): losses and reconstruction terms have different scales.",
    "likelihood": "The likelihoods differ ({}): losses and reconstruction terms are not the same "
    "quantity.",
    "evaluated_on": "The evaluations differ ({}): their scores cannot be compared.",
}
"""Attributes of runs, and the note for those that differ."""
ABOUT = (
    "val/loss, val/reconstruction and val/kl are those of the validation part at the epoch of the "
    "lowest loss. The loss holds beta times KL: runs of different beta are compared by the other "
    "two."
)


class ComparedRun:
    """A run as its small files tell it; no weights are read.

    Args:
        directory: the run directory.

    Attributes:
        verdict: how the training judged its model; None where it did not.
        best: metrics of the epoch with the lowest validation loss; empty before the first.
        epochs: how many have ended, of how many.
        images: size and transform of the model's input.
        scores: by prior, the scores of the galaxies generated from it.
        fit: scores of the reconstructions, and the bound.
        evaluated_on: which galaxies, and how many; None without an evaluation.

    Raises:
        GalgenError: if it is not a run, or is damaged.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self.config = read_unchecked_config(directory)
        self.facts = read_facts(directory)
        rows = records.read_metrics(directory)
        self.name = str(self.config.run_name or directory.name)
        self.verdict = read_verdict(directory)
        self.finished, self.imported = is_finished(directory), "stamps" not in self.facts
        self.epochs = facts.epochs(self.config, rows, self.finished)
        self.last_epoch = int(rows[-1]["epoch"]) if rows else None
        self.best = facts.best_epoch(rows)
        self.beta = self.best.get("val/beta")
        self.model = str(self.config.model.name)
        self.likelihood = facts.words(self.config.get("likelihood"))
        self.survey = _survey(self.facts["survey"], facts.is_simulated(self.facts))
        self.images = f"{self.config.model.image_size} px, {self.facts['transform']['name']}"
        self.scores, self.fit, self.evaluated_on = read_evaluation(directory)

    @property
    def rows(self) -> list[dict]:
        """The run's rows in the table, one for each prior, without its name and config."""
        state = "imported" if self.imported else "done" if self.finished else "not finished"
        row = {"epochs": self.last_epoch, "state": state}
        row |= {name: self.best.get(name) for name in ("val/loss", "val/reconstruction", "val/kl")}
        if self.evaluated_on is not None:
            row |= {"evaluated on": self.evaluated_on, **self.fit}
        return [{**row, "prior": name, **scores} for name, scores in self.scores.items()] or [row]


@dataclass
class Comparison:
    """A table of runs, and what must be known to read it.

    Args:
        columns: their names.
        rows: values by column; not every row has every column.
        best: row number and column of the cells that are the best of their column.
        notes: sentences.
    """

    columns: list[str]
    rows: list[dict]
    best: set[tuple[int, str]]
    notes: list[str]


def read_evaluation(directory: Path) -> tuple[dict[str, dict], dict, str | None]:
    """Read what an evaluation found out about a run.

    Args:
        directory: the run directory.

    Returns:
        Scores by prior; scores of reconstructions and bound; which galaxies these are of, None
        where there is no evaluation.

    Raises:
        GalgenError: if evaluation.json is damaged.
    """
    path = directory / "evaluation.json"
    if not path.is_file():
        return {}, {}, None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        scores = {
            name: _numbers(f"scores.{name}", values)
            for name, values in (content.get("scores") or {}).items()
            if name not in CONTROLS
        }
        fit = {
            f"{part}/{name}": number
            for part in ("reconstruction", "bound")
            for name, number in _numbers(part, content.get(part) or {}).items()
        }
        n, real, split, survey = (content.get(k) for k in ("n", "real", "split", "survey"))
    except (ValueError, AttributeError, RecursionError) as error:
        raise GalgenError(f"{path} is damaged: {error}") from error
    against = f"{text(n)} against {text(real)} galaxies" if real else f"{text(n)} galaxies"
    galaxies = [against if n else None, split]
    galaxies.append(_survey(survey, content.get("simulated")) if survey else None)
    return scores, fit, ", ".join(text(part) for part in galaxies if part)


def read_runs(directories: list[Path]) -> tuple[list[ComparedRun], list[str]]:
    """Read the runs that have something to compare.

    Args:
        directories: the run directories.

    Returns:
        The runs, in order of survey, model, beta and name, and a note on those that are left out.

    Raises:
        GalgenError: if one is damaged, or none has an epoch or an evaluation.
    """
    found = []
    for directory in directories:
        try:
            found.append(ComparedRun(directory))
        except GalgenError:
            raise
        except Exception as error:  # whatever files of another shape lead to
            raise GalgenError(f"{directory} is damaged: {explain(error)}") from error
    names = [run.name for run in found]
    for run in found:
        if names.count(run.name) > 1:  # copies
            run.name = str(run.directory)
    compared = [run for run in found if run.best or run.evaluated_on is not None]
    left_out = [str(run.directory) for run in found if run not in compared]
    none = f"{', '.join(left_out)}: no epoch has ended, so there is nothing to compare"
    if not compared:
        raise GalgenError(none)
    compared.sort(key=lambda run: (run.survey, run.model, *_beta_order(run.beta), run.name))
    return compared, [f"Left out: {none}."] if left_out else []


def compare(compared: list[ComparedRun]) -> Comparison:
    """Make the table of runs.

    Args:
        compared: as `read_runs` gives them.
    """
    differing = _differing(compared)
    known = [[text(getattr(run, name)) for run in compared] for name in ("survey", "model", "beta")]
    differing = {key: values for key, values in differing.items() if values not in known}
    shown = list(differing)[:MOST_DIFFERENCES]
    rows = []
    for number, run in enumerate(compared):
        head = {"run": run.name, "survey": run.survey, "model": run.model}
        head |= {"likelihood": run.likelihood, "beta": run.beta}
        head |= {key.removesuffix("._target_"): differing[key][number] for key in shown}
        rows += [{**head, **row} for row in run.rows]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    notes, different = [f"{ABOUT} {_ideals()}"], []
    for attribute, sentence in INCOMPARABLE.items():
        values = sorted({getattr(run, attribute) for run in compared} - {None})
        if len(values) > 1:
            different.append(attribute)
            notes.append(sentence.format("; ".join(values)))
    hidden = [key for key in differing if key not in shown]
    if hidden:
        notes.append(f"The configs differ in {len(hidden)} more keys, such as {hidden[0]}.")
    for run in compared:
        notes += [f"{run.name}: {caution}." for caution in cautions(run.verdict)]
    if unfinished := [f"{r.name} ({r.epochs} epochs)" for r in compared if not _is_done(r)]:
        notes.append(f"Not finished: {', '.join(unfinished)}.")
    return Comparison(columns, rows, _best(columns, rows, different), notes)


def panels(compared: list[ComparedRun]) -> list[dict]:
    """Group runs whose reconstruction terms are one quantity, for `draw_rate_distortion`.

    Args:
        compared: the runs; those without an epoch are left out.
    """
    groups: dict[tuple, list[ComparedRun]] = {}
    for run in compared:
        if {"val/kl", "val/reconstruction"} <= run.best.keys():
            groups.setdefault((run.survey, run.images, run.likelihood), []).append(run)
    return [_panel(", ".join(title), members) for title, members in groups.items()]


def _panel(title: str, members: list[ComparedRun]) -> dict:
    """Describe a panel of the figure: its runs, and the models that they are of."""
    points = []
    for model in dict.fromkeys(run.model for run in members):
        alike = [run for run in members if run.model == model]
        differing = {k: v for k, v in _differing(alike).items() if k not in VARIED}
        for number, run in enumerate(alike):
            details = [
                f"{key.removesuffix('._target_').rpartition('.')[2]} {values[number]}"
                for key, values in differing.items()
                if values[number]
            ]
            point = {"series": ", ".join([model, *details]), "beta": run.beta}
            point |= {"rate": run.best["val/kl"], "distortion": run.best["val/reconstruction"]}
            points.append({**point, "finished": run.finished})
    panel = {"title": title, "runs": points, "zeros": []}
    if members[0].likelihood != "squared error":
        return {**panel, "distortion": "negative log-likelihood [nats]"}
    zeros = {(run.facts.get("squared_error_of_zero") or {}).get("val") for run in members}
    unit = members[0].facts.get("attributes", {}).get("unit", "unit")
    scale = members[0].facts["transform"].get("scale")
    units = {"peak": " [peak²]", "physical": f" [({scale:.3g} {unit})²]" if scale else ""}
    unit = units.get(members[0].facts["transform"]["name"], "")
    return {**panel, "distortion": f"squared error{unit}", "zeros": sorted(zeros - {None})}


def _differing(compared: list[ComparedRun]) -> dict[str, list[str]]:
    """Give the values of the keys in which the configs differ, classes without their package."""
    table = facts.differences({str(number): run.config for number, run in enumerate(compared)})
    columns = zip(table.header, zip(*table.rows, strict=True), strict=True)
    return {
        key: [value.rpartition(".")[2] if key.endswith("_target_") else value for value in values]
        for key, values in list(columns)[1:]
        if not key.startswith(LISTED)
    }


def _best(columns: Iterable[str], rows: list[dict], different: list[str]) -> set[tuple[int, str]]:
    """Find the cells that come closest to their aims, where the rows can be compared."""
    best = set()
    for column in columns:
        part, _, name = column.rpartition("/")
        unlike = {"survey", "images", "evaluated_on"} | (
            {"likelihood"} if part == "bound" else set()
        )
        aim = ideal_of(name)
        if aim is None or unlike.intersection(different):
            continue
        values = {number: row.get(column) for number, row in enumerate(rows)}
        far = {number: _distance(value, aim) for number, value in values.items()}
        far = {number: value for number, value in far.items() if math.isfinite(value)}
        if len(set(far.values())) > 1:
            best |= {(number, column) for number in far if far[number] == min(far.values())}
    return best


def _ideals() -> str:
    """Return the score of a perfect model."""
    ideals: dict[str, list[str]] = {}
    for name, metric in METRICS.items():
        ideals.setdefault(metric.ideal_text, []).append(name)
    ideals.pop("", None)
    listed = "; ".join(f"{ideal} ({', '.join(names)})" for ideal, names in ideals.items())
    return f"Ideal scores: {listed}; 1 (reduced_chi2)."


def _distance(value: float | None, aim: float) -> float:
    if value is None:
        return math.inf
    return abs(value - aim) if math.isfinite(aim) else -value


def _numbers(name: str, values: dict) -> dict[str, float | None]:
    """Check that values are numbers by name.

    Raises:
        ValueError: if they are not.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{name}={values!r:.40}: it must hold numbers by name.")
    for key, value in values.items():
        if type(value) not in (int, float, type(None)):
            raise ValueError(f"{name}.{key}={value!r:.40}: it must be a number or null.")
    return values


def _survey(name: str, simulated: bool | None) -> str:
    return f"{name} (simulated)" if simulated and name != "simulated" else str(name)


def _beta_order(beta: float | None) -> tuple[bool, float]:
    return beta is None, beta or 0


def _is_done(run: ComparedRun) -> bool:
    return run.finished or run.imported
