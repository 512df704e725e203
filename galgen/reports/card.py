"""The card of a released model: what it learned from, how good it is, how it was trained."""

from pathlib import Path

import jinja2

from galgen.reports.facts import is_simulated
from galgen.runs.prior_records import fitted_priors
from galgen.runs.trained_run import TrainedRun
from galgen.runs.verdict import sentences

SCORES = {
    "mean_w1": "W1/σ",
    "mean_w1_floor": "floor",
    "mean_w1_structure": "structure",
    "mean_w1_structure_floor": "floor",
    "c2st": "C2ST",
    "precision": "precision",
    "recall": "recall",
    "coverage": "coverage",
}
"""Columns of the card's table of scores."""
CONTROLS = {
    "posterior": "decoded posterior samples",
    "sersic": "Sérsic profiles of the same galaxies",
    "real_half": "half of the survey against the other",
}
"""Samples in the table beside the priors."""


def card(run: TrainedRun, name: str, evaluation: dict | None, made: dict | None) -> str:
    """Write the card of a released model, in Markdown.

    Args:
        run: that is released.
        name: of the released model.
        evaluation: what its evaluation.json holds; None where it was not evaluated.
        made: what its environment.json holds, without machine and paths.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("card.md.j2").render(
        name=name,
        run=run,
        facts=run.facts,
        simulated=is_simulated(run.facts),
        conditions=_conditions(run),
        evaluation=evaluation,
        heads=list(SCORES.values()),
        rows=_score_rows(evaluation) if evaluation else [],
        chi2=_chi2(evaluation) if evaluation else [],
        cautions=sentences(run.verdict),
        limits=_limits(evaluation) if evaluation else [],
        began=Path(run.config.get("init_from") or "").name,
        made=made,
        commands=_commands(run, made),
    )


def _conditions(run: TrainedRun) -> dict[str, tuple[float, float]]:
    """Return the conditions that the priors know, with their ranges in the training part."""
    found = {}
    for name in run.priors:
        run.priors[name]
        found |= run.priors.ranges[name]
    return found


def _score_rows(evaluation: dict) -> list[list[str]]:
    """Make the rows of the table of scores."""
    labels = {prior: f"prior={prior}" for prior in evaluation["priors"]} | CONTROLS
    return [
        [label, *(_number(evaluation["scores"][sample].get(score)) for score in SCORES)]
        for sample, label in labels.items()
        if sample in evaluation["scores"]
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _chi2(evaluation: dict) -> list[tuple[str, str]]:
    """Return the reduced χ² of reconstructions by magnitude, each with its range in words."""
    found = []
    for key, value in evaluation.get("reconstruction", {}).items():
        if key.startswith("reduced_chi2_mag_") and value is not None:
            low, high = key.removeprefix("reduced_chi2_mag_").split("_")
            where = f"{low} to {high} mag"
            if low == "0":
                where = f"brighter than {high} mag"
            elif high == "99":
                where = f"{low} mag and fainter"
            found.append((where, f"{value:.3f}"))
    return found


def _limits(evaluation: dict) -> list[str]:
    """Say what the evaluation found wanting, a sentence each."""
    prior, scores = evaluation["priors"][0], evaluation["scores"]
    found, slopes = (
        [],
        [scores.get(name, {}).get("redshift_slope") for name in (prior, "real_half")],
    )
    if None not in slopes:
        found.append(
            f"prior={prior}: a redshift that is read off the galaxies rises by {slopes[0]:.3f} "
            f"with the redshift that was asked for; of the survey's galaxies, by {slopes[1]:.3f}."
        )
    for instrument, shear in evaluation.get("shear", {}).get(prior, {}).items():
        found.append(
            f"prior={prior}: seen from {instrument}, the response to shear differs from the "
            f"survey's by {shear['difference']:.3f} ± {shear['error']:.3f}, of {shear['real']:.3f}."
        )
    return found + [f"{note[0].upper()}{note[1:]}." for note in evaluation.get("left_out", [])]


def _commands(run: TrainedRun, made: dict | None) -> list[str]:
    """Return the commands that made the run, as far as it remembers them."""
    script, *words = (made or {}).get("command") or [""]
    found = [" ".join(["galgen", Path(script).stem, *words])] if script else []
    for name, kept in fitted_priors(run.directory).items():
        epochs = kept["node"].get("max_epochs")
        limit = f" prior.{name}.max_epochs={epochs}" if epochs else ""
        found.append(
            f"galgen fit_prior run=runs/{run.name} prior={name}{limit} seed={kept['seed']}"
        )
    return found
