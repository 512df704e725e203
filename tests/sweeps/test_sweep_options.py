"""Jobs of a sweep are what its command line says, whichever of Hydra's options say it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser
from joblib.externals.loky import get_reusable_executor

from galgen.config.paths import CONF
from galgen.runs.reading import find_runs
from galgen.runs.run_config import read_config
from tests.conftest import only_run

MINE = """
# @package _global_
optimizer:
  lr: 0.004
"""
TRAIN = """
defaults:
  - train
  - override /data: cosmos
  - _self_
seed: 7
"""
SWEEP = """
defaults:
  - train
  - override /data: cosmos
  - _self_
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      seed: 3,4
"""


@pytest.fixture
def tiny(small, monkeypatch, tmp_path) -> list[str]:
    """Overrides of a short training, beside a folder of configs of the user's."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    get_reusable_executor().shutdown()  # its processes, from other tests, have another environment
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(MINE)
    (tmp_path / "conf" / "mytrain.yaml").write_text(TRAIN)
    (tmp_path / "conf" / "mysweep.yaml").write_text(SWEEP)
    return [*small[1:], "trainer.max_epochs=1"]


IN_A_SWEEP = {
    "help": (["--help"], "trainer", []),
    "hydra_help": (["--hydra-help"], "Hydra", []),
    "version": (["--version"], "Hydra", []),
    "overrides": (["-m", "data=cosmos", "seed=5,6"], "2 done", [5, 6]),
    "cfg": (["--cfg", "job"], "max_epochs: 1", []),
    "resolve": (["--cfg", "job", "--resolve"], "max_epochs: 1", []),
    "package": (["--cfg", "job", "--package", "trainer"], "max_epochs: 1", []),
    "run": (["-r", "data=cosmos", "hydra.mode=MULTIRUN"], "1 done", [0]),
    "multirun": (["--multi", "data=cosmos"], "1 done", [0]),
    "shell_completion": (["-sc", "install=bash"], "complete", []),
    "config_path": (["-m", "-cp", "{conf}", "-cn=mytrain", "{shipped}"], "1 done", [7]),
    "config_name": (["-m", "-cn", "mytrain", "-cd", "{conf}"], "1 done", [7]),
    "config_dir": (["--config-dir", "{conf}", "--config-name=mysweep"], "2 done", [3, 4]),
    "experimental_rerun": (["-m", "--experimental-rerun=x.pickle"], "it reads a pickle", []),
    "info": (["--info", "searchpath", "-cd={conf}"], "", []),
}
"""By Hydra's name of an option: words with it, what is said, and the seeds of the runs."""


def test_every_option_of_hydra_is_tried():
    assert {action.dest for action in get_args_parser()._actions} == IN_A_SWEEP.keys()


@pytest.mark.usefixtures("forked_jobs")
@pytest.mark.parametrize("option", IN_A_SWEEP)
def test_an_option_means_in_a_sweep_what_it_means_without(command, tiny, option):
    words, said, seeds = IN_A_SWEEP[option]
    places = {"conf": str(Path("conf").absolute()), "shipped": f"hydra.searchpath=[file://{CONF}]"}
    words = [word.format(**places) for word in words]
    code, printed = command("train", *words, *(tiny if option != "hydra_help" else []))
    assert code == (option == "experimental_rerun"), printed
    assert said in printed
    assert "Traceback" not in printed
    assert ("sweep: " in printed) == bool(seeds)
    runs = find_runs([Path("runs")]) if seeds else []
    assert sorted(read_config(run).seed for run in runs) == seeds


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_every_launcher_trains_what_the_options_say(command, tiny, launcher, request):
    if launcher == "basic":  # the others start processes of their own anyway
        request.getfixturevalue("forked_jobs")
    words = ["-m", f"hydra.searchpath=[file://{Path('conf').absolute()}]", "experiment=mine"]
    words += [f"launcher={launcher}", "data=cosmos", "seed=1,2"]
    code, printed = command("train", *words, *tiny)
    assert code == 0, printed
    assert "sweep: 2 done" in printed
    runs = find_runs([Path("runs")])
    assert ["-s1-" in runs[0].name, "-s2-" in runs[1].name] == [True, True]
    configs = [read_config(run) for run in runs]
    assert sorted((config.seed, config.optimizer.lr) for config in configs) == [
        (1, 0.004),
        (2, 0.004),
    ]
    kept = json.loads((runs[0] / "environment.json").read_text())["command"]
    assert kept[0] == "galgen.train"
    assert {words[1], "experiment=mine", f"seed={configs[0].seed}"} <= set(kept)
    code, printed = command("train", *kept[1:])
    assert "is already finished" in printed


@pytest.mark.usefixtures("forked_jobs")
def test_values_of_every_shape_arrive_in_the_job(command, tiny, composed):
    values = [
        """logger.tags=["a,b","c = d","é","it's"]""",
        """++logger.notes='one "two" {three}, four=5 # six: seven'""",
        """++logger.job_type='null'""",
        """+trainer.max_time={hours: 1, minutes: 2}""",
        "~callbacks.learning_rate",
    ]
    arguments = ["data=cosmos", "logger=wandb", *tiny, *values]
    code, printed = command("train", "-m", *arguments)
    assert code == 0, printed
    code, printed = command("train", *arguments, "run_root=alone")
    assert code == 0, printed
    job, alone = (read_config(only_run(Path(root))) for root in ("runs", "alone"))
    job.run_dir = alone.run_dir = job.run_root = alone.run_root = None
    assert job == alone
    assert job.logger.notes == 'one "two" {three}, four=5 # six: seven'
    assert list(job.logger.tags) == ["a,b", "c = d", "é", "it's"]
    assert job.logger.job_type == "null"
    assert "learning_rate" not in job.callbacks


def test_a_job_has_the_environment_the_options_of_python_and_the_folder(tiny, tmp_path):
    """A module of the user's that each process of Python imports tells what it was started with."""
    (tmp_path / "sitecustomize.py").write_text(
        "import json, os, sys\n"
        "if 'galgen.sweeps.one_job' in ' '.join(sys.orig_argv):\n"
        "    seen = [sys.warnoptions, sys._xoptions, os.getcwd(), os.environ.get('MINE')]\n"
        "    open(os.environ['SEEN'], 'w').write(json.dumps(seen))\n"
    )
    environment = {**os.environ, "SEEN": str(tmp_path / "seen.json")}
    path = [str(tmp_path), str(CONF.parent), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    words = [sys.executable, "-W", "error::UnicodeWarning", "-X", "utf8=1", "-m", "galgen.train"]
    words += ["-m", "data=cosmos", *tiny, "launcher=joblib", "+hydra.job.env_set.MINE='a b,c'"]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen == [["error::UnicodeWarning"], {"utf8": "1"}, str(tmp_path), "a b,c"]
