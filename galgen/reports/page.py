"""The page of a report: text and pictures of each run, in one HTML file."""

import json
from datetime import UTC, datetime
from pathlib import Path

import jinja2

from galgen import __version__
from galgen.config.explanations import explain
from galgen.config.run_paths import results_folder
from galgen.config.targets import check_targets, locate
from galgen.errors import GalgenError
from galgen.reports import facts, gallery
from galgen.reports.facts import Table, text
from galgen.runs import metrics as records
from galgen.runs.reading import checkpoint_path, is_finished, read_facts
from galgen.runs.run_config import read_config
from galgen.runs.trained_run import TrainedRun
from galgen.runs.verdict import sentences, summary

OF_RUN = ["run", "model", "β", "seed", "epochs"]
SWEEP = [*OF_RUN, "best loss", "reconstruction term", "KL [nats]", "state"]
"""Columns of a sweep's table."""
ABOUT_SWEEP = (
    "Loss, reconstruction term and KL are those of the validation part, at the epoch of the lowest "
    "loss. The loss holds β × KL: runs of different β are compared by the other two."
)


class Section:
    """Section of the page about one run.

    Args:
        directory: the run directory.
        device: where the model computes.
        data_file: stamp file of the survey, where it is not where the training found it.
        **how: how galaxies are chosen and shown, as `RunFigure`.

    Attributes:
        notes: sentences about missing parts.
        result: of the training; None before its first epoch.
        tables: the model and training data of each run.
        shown: the pictures.
        explorer: the page beside this one in which a browser generates galaxies, if there is one.

    Raises:
        GalgenError: if it is not a run, or is damaged.
    """

    def __init__(self, directory: Path, device: str | None, data_file: str | None, **how):
        self.directory = directory
        self.config, self.facts = read_config(directory), read_facts(directory)
        self.name = str(self.config.run_name or directory.name)
        self.rows = records.read_metrics(directory)
        self.finished, self.imported = is_finished(directory), "stamps" not in self.facts
        check_targets(self.config.model)
        self.conditional = locate("model", self.config.model._target_).conditional
        self.galaxies = "simulated galaxies" if facts.is_simulated(self.facts) else "galaxies"
        self.notes: list[str] = []
        self.environment = self._read("environment.json")
        self.evaluation = self._read("evaluation.json")
        page = results_folder(directory) / "explorer.html"
        self.explorer = page.name if page.is_file() else None
        run = self._load(device, data_file)
        self.result = facts.result(self.config, self.facts, self.rows) if self.rows else None
        self.tables = self._tables(run)
        self.shown = [gallery.losses({self.name: self.rows})] if self.rows else []
        if run:
            self._draw(run, how)

    @property
    def epochs(self) -> str:
        """How many epochs there were."""
        return "" if self.imported else facts.epochs(self.config, self.rows, self.finished)

    @property
    def state(self) -> str:
        """How far the run is."""
        if self.imported:
            return "imported"
        return "done" if self.finished else "not finished" if self.rows else "no epoch yet"

    @property
    def lead(self) -> str:
        """The run in a sentence."""
        model = self.config.model
        kind = "redshift-conditional VAE" if self.conditional else "VAE"
        start = f"{model.name}, a {kind} of {model.latent_dim} latent dimensions"
        if self.imported:
            return f"{start}, with imported weights."
        trained = f"trained for {self.epochs} epochs" if self.rows else "to be trained"
        n, side = self.facts["split"]["counts"]["train"], self.facts["image_size"]
        return f"{start}, {trained} on {n} {self.galaxies} of {side} × {side} px."

    @property
    def row(self) -> list[str]:
        """The run's row in a sweep's table, with the columns of SWEEP."""
        config, best = self.config, facts.best_epoch(self.rows)
        beta, seed = facts.beta_in_short(config.beta_schedule), config.seed
        if self.imported:  # its config does not describe its training
            beta = seed = None
        numbers = [best.get(f"val/{name}") for name in ("loss", "reconstruction", "kl")]
        cells = [self.name, config.model.name, beta, seed, self.epochs, *numbers, self.state]
        return [text(cell) for cell in cells]

    @property
    def yaml(self) -> str:
        """The resolved config, as the run keeps it."""
        return (self.directory / "config.yaml").read_text(encoding="utf-8", errors="replace")

    def _read(self, name: str) -> list[Table]:
        """Make tables of a JSON file of the run; none where it is missing."""
        path = self.directory / name
        try:
            return facts.tables_of(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return []
        except ValueError as error:
            self.notes.append(f"{path} is damaged: {error}")
            return []

    def _load(self, device: str | None, data_file: str | None) -> TrainedRun | None:
        """Load the run where it has weights, and note which."""
        weights = checkpoint_path(self.directory)
        if not weights.is_file():
            self.notes.append(
                f"This run has no {weights.stem} checkpoint, and so no pictures of galaxies."
            )
            return None
        if self.imported:
            self.notes.append(
                "These weights were imported: nothing else is known of their training."
            )
        elif not self.finished:
            self.notes.append(
                f"This run is not finished: {self.epochs} epochs have ended. Its galaxies are "
                "drawn with the weights of its last checkpoint."
            )
        run = TrainedRun(self.directory, device, data_file)
        if run.verdict:
            self.notes.append(f"Verdict: {summary(run.verdict)}.")
        self.notes += sentences(run.verdict)
        return run

    def _tables(self, run: TrainedRun | None) -> list[Table]:
        """Describe the model and its training data."""
        weights = sum(weight.numel() for weight in run.model.parameters()) if run else None
        tables = [
            facts.survey_facts(self.config, self.facts, run.pixel_scale if run else None),
            facts.model_facts(self.config, self.conditional, weights),
        ]
        if self.imported:
            source = {name: self.facts.get(name) for name in ("file", "sha256")}
            settings = facts.tables_of(self.facts.get("settings", {}), "Settings of the original")
            return [*tables, *facts.tables_of(source, "Imported weights"), *settings]
        return [*tables, facts.training_facts(self.config, self.rows, self.epochs)]

    def _draw(self, run: TrainedRun, how: dict) -> None:
        """Draw what needs the model; without its survey, generated galaxies alone."""
        try:
            self.shown += gallery.of_survey(run, self.galaxies, **how)
        except GalgenError as error:
            slider = ", the redshift slider" if self.conditional else ""
            self.notes.append(
                f"The survey is not available, so reconstructions{slider} and latents are missing: "
                f"{error}"
            )
            self.shown.append(gallery.generated(run, **how))


def run_page(directory: Path, **arguments) -> str:
    """Write the page of one run.

    Args:
        directory: the run directory.
        **arguments: as `Section`.
    """
    section = Section(directory, **arguments)
    return _render(title=section.name, sections=[section], sweep=None)


def sweep_page(title: str, directories: list[Path], **arguments) -> str:
    """Write the page of several runs; those that cannot be read are named.

    Args:
        title: of the page.
        directories: the run directories.
        **arguments: as `Section`.

    Raises:
        GalgenError: if no run can be read.
    """
    sections, unread = [], []
    for directory in directories:
        try:
            sections.append(Section(directory, **arguments))
        except Exception as error:  # whatever damaged files of one run lead to
            unread.append(GalgenError(f"{directory}: {explain(error)}"))
    if not sections:
        raise unread[0]
    names = [section.name for section in sections]
    for section in sections:
        if names.count(section.name) > 1:  # copies
            section.name = str(section.directory)
    sections.sort(key=lambda section: section.name)
    curves = {section.name: section.rows for section in sections if section.rows}
    sweep = {
        "table": Table("Runs", [section.row for section in sections], SWEEP, ABOUT_SWEEP),
        "differences": facts.differences({s.name: s.config for s in sections}),
        "unread": unread,
        "losses": gallery.losses_of_many(curves),
    }
    return _render(title=title, sections=sections, sweep=sweep)


def _render(**content) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    page = environment.get_template("report.html.j2")
    return page.render(version=__version__, now=now, **content)
