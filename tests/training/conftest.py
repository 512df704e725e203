"""Runs with priors, which tests leave as they are."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from galgen.data.stamp_writing import write_stamps
from galgen.priors import fitted as fitted_priors
from tests.conftest import discs, run_command, train_once

PRIORS = ("flow", "gmm", "two_stage", "flow_matching")


KINDS = (*PRIORS, "conditions")


SMALL = {
    "flow": ["max_epochs=2", "batch_size=32", "transforms=1", "width=8"],
    "gmm": ["components=3"],
    "two_stage": ["max_epochs=2", "batch_size=32", "width=8"],
    "flow_matching": ["max_epochs=2", "batch_size=32", "width=8", "depth=1", "heads=2", "steps=2"],
}


REDSHIFT = np.array([0.3, 1.0, 2.5], np.float32)


def words(*kinds: str) -> list[str]:
    """Return the overrides that ask for small priors."""
    small = [f"prior.{kind}.{word}" for kind in kinds for word in SMALL[kind]]
    return [f"prior=[{','.join(kinds)}]", "device=cpu", *small]


def fit(command, run: Path, *overrides: str, kinds=PRIORS) -> tuple[int, str]:
    code, printed = command("fit_prior", f"run={run}", *words(*kinds), *overrides)
    assert "Traceback" not in printed
    return code, printed


def copied(run: Path, folder: Path) -> Path:
    """Copy a run and let its survey be found."""
    return shutil.copytree(run, folder / run.name)


def files_of(run: Path) -> dict[str, bytes]:
    paths = [fitted_priors.path_of(run, kind) for kind in KINDS]
    return {path.stem: path.read_bytes() for path in paths if path.exists()}


@pytest.fixture(scope="session")
def full(tmp_path_factory) -> Path:
    """Train a cvae2 on a survey where some redshifts, magnitudes and sizes are unknown."""
    folder, rng = tmp_path_factory.mktemp("full"), np.random.default_rng(0)
    magnitude = rng.uniform(20, 25, 80).astype("f4")
    magnitude[[3, 30]] = np.nan, np.inf
    block = {"image": discs(80), "redshift": np.linspace(0.1, 3, 80, dtype="f4")}
    block |= {"magnitude": magnitude, "flux_radius": 0.1 * (26 - magnitude)}
    attrs = {"survey": "mine", "unit": "counts/s", "pixel_scale": 0.05, "zero_point": 25.5}
    write_stamps(folder / "survey.h5", [block], attrs)
    data = ["data=mosaic", f"data.file={folder / 'survey.h5'}", "transform=none"]
    return train_once(folder, *data, "model=cvae2", "model.output=softplus")


@pytest.fixture(scope="session")
def fitted(full, tmp_path_factory) -> Path:
    """Fit all to a copy of that run; tests leave it as it is."""
    run = copied(full, tmp_path_factory.mktemp("fitted"))
    run_command("fit_prior", f"run={run}", *words(*PRIORS))
    return run
