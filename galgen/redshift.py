"""`python -m galgen.redshift`: the posteriors of given stamps' redshift, magnitude and size."""

import contextlib
import json
import sys
import time
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from galgen.config.command import command
from galgen.config.releases import is_read_only
from galgen.config.rules import check_whole_numbers
from galgen.config.run_paths import results_folder
from galgen.errors import GalgenError
from galgen.files import expand, refuse_to_replace, write_text

BLOCK = 2000
"""Galaxies that are summarised at a time."""
MOST_POINTS = 10_000
FINE = 1001
"""Values on which means and percentiles are computed."""
TEST = "test"
"""What stands for the survey's test part instead of a file."""


@command("redshift", words="run", resumes=False)
def main(config: DictConfig) -> None:
    """Write a table of posteriors, densities for qp and a figure; print scores where known."""
    check_whole_numbers(config, {"seed": 0})
    check_whole_numbers(config, {"points": 10}, MOST_POINTS)
    out = output(config)
    from galgen.runs.condition_posteriors import ConditionPosteriors
    from galgen.runs.trained_run import TrainedRun

    run = TrainedRun(config.run, config.device, config.data.file)
    posterior = learned_posterior(run, config.seed)
    started = time.perf_counter()
    if config.images == TEST:
        found = ConditionPosteriors.of_part(run, posterior, TEST)
    else:
        found = ConditionPosteriors.of_file(
            run, posterior, expand(config.images), config.pixel_scale, config.zero_point
        )
    write(run, found, out, config.points)
    seconds = time.perf_counter() - started
    print(f"{len(found.ids)} galaxies in {seconds:.1f} s")
    report(run, found, out, config.images == TEST)


def output(config: DictConfig) -> Path:
    """Return the table's path.

    Raises:
        GalgenError: if its ending is no format, or a file is there.
    """
    from galgen.catalogues.posterior_table import ENDINGS

    out = expand(config.out or results_folder(Path(config.run)) / "redshifts.fits")
    if out.suffix not in ENDINGS:
        raise GalgenError(f"out={out}: its ending can be one of {', '.join(ENDINGS)}.")
    if config.out and not config.overwrite:
        beside = ("_qp.hdf5", "_scores.json", "_posteriors.png", "_posteriors.pdf")
        refuse_to_replace(out, [out, *(out.with_name(out.stem + end) for end in beside)])
    return out


def learned_posterior(run, seed: int):
    """Return what the run knows about conditions from stamps; learn it the first time.

    Raises:
        GalgenError: if it has to be learned, and the run's survey is not available or the run is
            read only, or if the model's encoder needs the redshift.
    """
    from galgen.priors import fitted

    if run.model.conditional:
        raise GalgenError(
            f"run={run.directory}: the encoder of {run.model.name} is given the redshift, so it "
            "cannot tell it. Use a model without, such as model=galaxy_vae."
        )
    with contextlib.suppress(GalgenError):  # there is none, or one of an earlier galgen
        posterior, about = fitted.read(run.directory, fitted.POSTERIOR)
        if about["weights_sha256"] == run.weights_sha256:
            return posterior
    if is_read_only(run.directory):
        raise GalgenError(
            f"run={run.directory}: this release cannot tell redshifts. Release it again from its "
            "run, after galgen redshift."
        )
    from galgen.training.fit_condition_posterior import fit_condition_posterior

    print("learning what stamps say about redshift, magnitude and size, once for this run")
    print(fit_condition_posterior(run, seed))
    return fitted.read(run.directory, fitted.POSTERIOR)[0]


def write(run, found, out: Path, points: int) -> None:
    """Write the table, the densities of the redshift, and the figure."""
    from galgen.catalogues.posterior_table import density, summarise, write_densities, write_table
    from galgen.figures.redshift_posteriors import draw_posteriors
    from galgen.figures.saving import save_all

    columns = {"galaxy_id": found.ids}
    for name in found.names:
        grid = found.grid(name, FINE)
        blocks = [
            summarise(name, grid, found.cumulative(name, grid, slice(start, start + BLOCK)))
            for start in range(0, len(found.ids), BLOCK)
        ]
        columns |= {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}
        if name == "redshift":
            grid = found.grid(name, points)
            cumulative = found.cumulative(name, grid)
            densities = density(grid, cumulative)
            qp = out.with_name(f"{out.stem}_qp.hdf5")
            write_densities(qp, grid, densities, found.ids)
            title = f"{run.name}: {len(found.ids)} {found.described}"
            truth = (found.true.get(name), found.pit(name)) if name in found.true else ()
            figures = {f"{out.stem}_posteriors": draw_posteriors(title, grid, densities, *truth)}
            for path in [qp, *save_all(figures, out.parent)]:
                print(path)
    about = {"RUN": run.name, "WEIGHTS": run.weights_sha256, "IMAGES": found.described}
    about = {k: text.encode("ascii", "backslashreplace").decode() for k, text in about.items()}
    write_table(out, columns, about)
    print(out)


def report(run, found, out: Path, is_test: bool) -> None:
    """Print and keep the scores of posteriors, where the true values are known."""
    from galgen.evaluation.redshift_scores import calibration, regressed, scores

    facts = {}
    for name, true in found.true.items():
        known = np.isfinite(true)
        if known.sum() >= 20:
            facts[name] = calibration(found.pit(name)[known])
    if not facts:
        return
    if "redshift" in facts:
        true, known = found.true["redshift"], np.isfinite(found.true["redshift"])
        estimates = {"posterior": found.median("redshift"), "prior alone": found.prior_median()}
        if is_test:
            estimates["regression on measured statistics"] = regressed(run, np.arange(len(true)))
        facts["estimates"] = {
            name: scores(true[known], np.broadcast_to(best, true.shape)[known])
            for name, best in estimates.items()
        }
    print_scores(facts, "values that were asked for" if found.generated else "known values")
    path = out.with_name(f"{out.stem}_scores.json")
    write_text(path, json.dumps(facts, indent=2))
    print(path)


def print_scores(facts: dict, compared: str) -> None:
    """Print the calibration of each posterior, and the estimates of redshift side by side.

    Args:
        facts: the scores by condition, and of the estimates.
        compared: what the posteriors are compared with, in words.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(file=sys.stdout)
    console.width = max(console.width, 100)
    table = Table(title=f"Posteriors beside {compared}")
    for heading in ("", "68 % interval holds", "95 % interval holds", "KS of the PIT", "p"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, row in facts.items():
        if name != "estimates":
            table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    console.print(table)
    if "estimates" in facts:
        table = Table(title="Redshifts: error over 1 + z")
        for heading in ("", "bias", "σ_NMAD", "beyond 0.15"):
            table.add_column(heading, justify="right" if heading else "left")
        for name, row in facts["estimates"].items():
            table.add_row(name, *(f"{value:.3f}" for value in row.values()))
        console.print(table)


if __name__ == "__main__":
    main()
