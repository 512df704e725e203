"""docs/extending.md: its files are written to an empty folder, and its commands are run there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from galgen.evaluation.compared import Compared
from galgen.evaluation.sample import Sample
from galgen.evaluation.scores import METRICS, score

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
FILES = dict(
    re.findall(r"^\*\*(mypackage/\S+)\*\*\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
)
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SCRIPTS = [text for kind, text in BLOCKS if kind == "python" and text not in FILES.values()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Write the files of the page, each named above it, and run its commands."""
    folder = tmp_path_factory.mktemp("extending")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for package in ("mypackage", "mypackage/conf"):
        (folder / package / "__init__.py").touch()
    commands = "\n".join(text for kind, text in BLOCKS if kind == "sh")
    done = run(folder, ["bash", "-ec", commands])
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def run(folder: Path, words: list[str]) -> subprocess.CompletedProcess:
    places = os.pathsep.join([str(folder), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": places, "GALGEN_CACHE": str(folder / "cache")}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_training_of_one_s_own_classes_gives_galaxies(folder):
    with h5py.File(folder / "cache" / "rings.h5") as file:
        assert file["image"].shape == (400, 1, 32, 32)
    with h5py.File(folder / "rings.h5") as file:
        assert (file.attrs["prior"], file.attrs["model"]) == ("gaussian", "capped_cvae2")
        images = file["image"][:]
    assert images.shape == (20, 1, 32, 32)
    assert np.isfinite(images).all()
    done = run(folder, [sys.executable, "-c", SCRIPTS[0]])
    assert done.returncode == 0, done.stderr


def test_a_figure_of_one_s_own_is_drawn(folder):
    assert {path.suffix for path in (folder / "runs/rings/figures").glob("profile*")} == {
        ".png",
        ".pdf",
    }


def test_a_run_makes_nothing_of_a_package_that_is_not_trusted(folder):
    script = "import galgen, sys\ntry: galgen.load('runs/rings')\nexcept Exception as e: print(e)"
    done = run(folder, [sys.executable, "-c", script + "\nprint('mypackage' in sys.modules)"])
    assert "refused" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"
    done = run(folder, [sys.executable, "-m", "galgen.generate", "run=runs/rings", "n=2",
                        "redshift=1", "out=no.h5"])  # fmt: skip
    assert (done.returncode, "refused" in done.stderr, "Traceback" in done.stderr) == (
        1,
        True,
        False,
    )


def test_a_metric_is_a_row(monkeypatch):
    monkeypatch.setattr("galgen.evaluation.scores.METRICS", dict(METRICS))
    exec(SCRIPTS[1])
    from galgen.evaluation import scores

    rng = np.random.default_rng(0)
    real, twice = (
        Sample(
            name, {"flag": np.zeros(500), "a": a * rng.normal(size=500), "b": rng.normal(size=500)}
        )
        for name, a in (("real", 1.0), ("twice", 2.0))
    )
    found = score(Compared(real, twice, ["a", "b"], ["a"]))
    assert scores.METRICS["scatter_ratio"].label == "scatter"
    assert found["scatter_ratio"] == pytest.approx(1.5, abs=0.15)
