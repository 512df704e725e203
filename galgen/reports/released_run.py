"""A run made into a released model: what it needs to generate, without the survey's galaxies."""

import importlib.util
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf

from galgen.catalogues.browser_networks import check as check_browser
from galgen.catalogues.browser_networks import write_graphs
from galgen.config.releases import FORMAT, RECORD
from galgen.data.exposures import KeptExposures
from galgen.errors import GalgenError
from galgen.files import folder_made_whole, sha256
from galgen.models.checkpoints import read_checkpoint, write_safetensors
from galgen.priors import fitted
from galgen.reports.card import card
from galgen.runs.prior_records import FITTED
from galgen.runs.run_config import stored_form
from galgen.runs.trained_run import EXPOSURES, TrainedRun

log = logging.getLogger(__name__)

CHECKED = 4
"""Galaxies by which a released model is compared with its run, of each prior."""
COPIED = ("DONE", "metrics.csv", "evaluation.json", str(FITTED))
"""Files of a run that a released model has as they are, where the run has them."""
OF_ONE_MACHINE = ("logger", "launcher", "callbacks", "search", "init_from")
"""Nodes of a run's config that mean nothing elsewhere."""


def write_release(run: TrainedRun, name: str, folder: Path) -> None:
    """Write a released model, whole or not at all.

    Args:
        run: of a finished training.
        name: of the released model.
        folder: where it goes; an existing one is replaced.

    Raises:
        GalgenError: if it does not generate the run's galaxies.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder_made_whole(folder) as part:
        part.mkdir()
        for file in COPIED:
            if (run.directory / file).is_file():
                (part / file).parent.mkdir(exist_ok=True)
                shutil.copy(run.directory / file, part / file)
        OmegaConf.save(_config(run.config, name), part / "config.yaml")
        facts = {**run.facts, "file": Path(run.facts.get("file", "")).name}
        _write_json(part / "data.json", facts)
        _write_environment(run.directory, part)
        _write_weights(run, part)
        _write_exposures(run, part)
        _write_graphs(run, part)
        text = card(run, name, _read(part, "evaluation.json"), _read(part, "environment.json"))
        (part / "README.md").write_text(text, encoding="utf-8")
        files = {str(path.relative_to(part)): sha256(path) for path in _files(part)}
        _write_json(part / RECORD, {"format": FORMAT, "name": name, "files": files})
        check(run, TrainedRun(part, "cpu"))


def check(run: TrainedRun, released: TrainedRun) -> None:
    """Check that a released model generates the galaxies of its run.

    Raises:
        GalgenError: if it does not.
    """
    for prior in run.priors:
        values = {"redshift": 0.5} if run.model.conditional else {}
        one, other = (each.make(CHECKED, values, prior, 0, 0) for each in (run, released))
        if not np.array_equal(one, other):
            raise GalgenError(
                f"run={run.directory}: with prior={prior}, the released model would generate other "
                f"galaxies, by up to {np.abs(one - other).max():.2g}. Nothing is written."
            )


def _config(config: DictConfig, name: str) -> DictConfig:
    """Return a run's config without what is of one machine."""
    kept = stored_form(config)
    kept.run_name, kept.data.file = name, None
    for key in OF_ONE_MACHINE:
        kept.pop(key, None)
    return kept


def _write_environment(directory: Path, part: Path) -> None:
    """Copy what the training ran with, but for the machine's name and its paths."""
    path = directory / "environment.json"
    if path.is_file():
        found = json.loads(path.read_text())
        found.pop("host", None)
        script, *words = found.get("command") or [""]
        found["command"] = [Path(script).name, *map(_without_folders, words)]
        _write_json(part / path.name, found)


def _without_folders(word: str) -> str:
    """Return a word of a command line, an absolute path without its folders."""
    key, sign, value = word.partition("=")
    return f"{key}={Path(value).name}" if sign and value.startswith(("/", "~")) else word


def _write_weights(run: TrainedRun, part: Path) -> None:
    """Write the weights of the model, of its priors and of the survey's conditions."""
    path = part / "checkpoints" / "best.safetensors"
    path.parent.mkdir()
    weights = {key: value.cpu().clone() for key, value in run.model.state_dict().items()}
    write_safetensors({"state_dict": weights, "epoch": run.epochs - 1}, path)
    weights_sha256 = sha256(path)
    names = [name for name in fitted.names_of(run.directory) if run.priors[name]]
    names += [name for name in fitted.OF_RUN if fitted.path_of(run.directory, name).is_file()]
    for name in names:
        about = read_checkpoint(fitted.path_of(run.directory, name))
        state = {key: value.clone() for key, value in about["state_dict"].items()}
        path = fitted.path_of(part, name).with_suffix(".safetensors")
        path.parent.mkdir(exist_ok=True)
        write_safetensors({**about, "state_dict": state, "weights_sha256": weights_sha256}, path)


def _write_exposures(run: TrainedRun, part: Path) -> None:
    """Keep PSFs and noise of the survey, where the survey or the run has them."""
    try:
        exposures = run.exposures
    except GalgenError as error:
        log.warning("%s The released model will not know psf=survey and noise=survey.", error)
        return
    if isinstance(exposures, KeptExposures):
        shutil.copy(exposures.source, part / EXPOSURES)
    elif exposures.has_psfs or exposures.has_noise:
        exposures.keep(part / EXPOSURES)


def _write_graphs(run: TrainedRun, part: Path) -> None:
    """Write what the explorer runs, of each prior that it draws from."""
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        log.warning(
            "The explorer will not know the released model: that needs %s. "
            "pip install 'galgen[export]'",
            ", ".join(missing),
        )
        return
    for prior in run.priors:
        try:
            check_browser(run, prior)
        except GalgenError:
            continue  # which the explorer says of this run too
        write_graphs(run, prior, part)


def _read(part: Path, name: str) -> dict | None:
    path = part / name
    return json.loads(path.read_text()) if path.is_file() else None


def _files(part: Path) -> Iterator[Path]:
    return (path for path in sorted(part.rglob("*")) if path.is_file())


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
