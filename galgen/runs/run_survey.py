"""The survey of a trained run, split as in its training."""

from pathlib import Path
from typing import TYPE_CHECKING

from galgen.config.targets import instantiate
from galgen.data.identity import redshift_statistics, split_facts
from galgen.errors import GalgenError

if TYPE_CHECKING:
    from galgen.data.data_module import SurveyDataModule  # Lightning, for those who need it
    from galgen.runs.trained_run import TrainedRun

OF_SURVEYS = (
    "galgen.data.data_module",
    "galgen.data.surveys.simulated.simulated_data_module",
    "galgen.data.transforms",
)
"""Where the classes come from that a run's config may name as its survey."""


def open_survey(run: "TrainedRun") -> "SurveyDataModule":
    """Open the stamp file of a run, which is read from disk.

    Args:
        run: the trained run.

    Raises:
        GalgenError: if the file is missing, or another than the training's.
    """
    config = run.config.data.copy()
    config.cache = "none"
    if run.data_file:
        config.file = run.data_file
    survey = instantiate(config, OF_SURVEYS)
    needed = {"redshift": run.model.conditional, "psf": run.model.psf_free}
    survey.needs = tuple(name for name, wanted in needed.items() if wanted)
    survey.prepare_data()
    if not Path(survey.file).is_file():
        raise GalgenError(
            f"data.file={survey.file}: there is no such stamp file. {survey.hint}. If it was "
            "moved, give data.file=<that file>."
        )
    survey.setup()
    found = {"stamps": len(survey.stamps), "split": split_facts(survey)}
    found["redshift"] = (redshift_statistics(survey) or {}).get("sha256")
    trained_on = {name: run.facts.get(name) for name in ("stamps", "split")}
    trained_on["redshift"] = (run.facts.get("redshift") or {}).get("sha256")
    if trained_on["split"] and trained_on != found:
        raise GalgenError(
            f"data.file={survey.file}: it holds other galaxies than {run.directory} was trained "
            "on. Give data.file=<that file>."
        )
    return survey
