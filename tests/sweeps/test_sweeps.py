"""Sweeps: jobs in processes of their own, by every launcher that runs here."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from joblib.externals.loky import get_reusable_executor

from galgen.runs.metrics import read_metrics
from galgen.runs.reading import find_runs
from galgen.sweeps import gpus as devices
from galgen.sweeps.gpus import hold_gpus, jobs_at_once
from galgen.sweeps.job_records import JobRecord, new_folder
from galgen.sweeps.objective import quantity
from galgen.sweeps.table import summary, table


@pytest.fixture
def tiny(small, monkeypatch, tmp_path) -> list[str]:
    """Overrides of a sweep, whose jobs find the cache of the test."""
    monkeypatch.setenv("GALGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    get_reusable_executor().shutdown()  # its processes, from other tests, have another environment
    return ["-m", *small, "trainer.max_epochs=1"]


@pytest.mark.usefixtures("forked_jobs")
def test_a_failed_job_is_reported_the_others_go_on_and_what_is_done_is_skipped(command, tiny):
    code, printed = command("train", *tiny, "model.norm=layer,batch")
    assert code == 1
    assert "galgen: job 0 failed: model: norm=layer: it can be 'batch' or 'group'" in printed
    assert "1 done, 1 failed; best so far" in printed
    (run,) = find_runs([Path("runs")])
    before = (run / "metrics.csv").stat().st_mtime_ns
    code, printed = command("train", *tiny, "model.norm=batch")
    assert code == 0, printed
    assert "1 done, 1 of them before" in printed
    assert (run / "metrics.csv").stat().st_mtime_ns == before


def test_sweeps_of_one_second_have_records_of_their_own(monkeypatch, tmp_path):
    monkeypatch.setenv("GALGEN_CACHE", str(tmp_path))
    monkeypatch.setenv("GALGEN_SWEEP", "")
    monkeypatch.setattr("time.strftime", lambda _: "20261128-022200")
    one, two = new_folder(), new_folder()
    assert one != two
    for folder in (one, two):
        assert folder.name.startswith("20261128-022200-")
        assert folder.name.endswith(f"-{os.getpid()}")  # a worker of joblib knows its sweep by it


@pytest.mark.usefixtures("forked_jobs")
def test_jobs_that_would_share_a_directory_are_not_taken_for_done(command, small):
    command("train", *small, "run_name=mine")
    code, printed = command("train", "-m", *small, "run_name=mine", "seed=0,1")
    assert code == 1
    assert "1 done, 1 failed, 1 of them before" in printed
    assert "seed is 0 there and 1 here). Give another run_name" in printed


@pytest.mark.usefixtures("forked_jobs")
def test_jobs_do_not_overwrite_each_other(command, tiny):
    code, printed = command("train", *tiny, "run_name=mine", "overwrite=true", "seed=0,1")
    assert code == 1
    assert "1 done, 1 failed" in printed
    assert "runs/mine is the directory of job 0 of this sweep too" in printed


def test_processes_of_one_training_inside_a_sweep_make_one_directory(command, tiny):
    code, printed = command("train", *tiny, "trainer=ddp_cpu", "model.norm=group")
    assert code == 0, printed
    (run,) = find_runs([Path("runs")])
    assert [path for path in Path("runs").iterdir() if path.is_dir()] == [run]
    assert len(read_metrics(run)) == 1


@pytest.mark.usefixtures("forked_jobs")
def test_a_search_proposes_values_and_goes_by_the_loss(command, tiny):
    arguments = [*tiny, "search=optuna", "hydra.sweeper.n_trials=2", "search.objective=val/kl"]
    arguments += ["beta_schedule.beta=tag(log, interval(0.01, 1))"]
    code, printed = command("train", *arguments)
    assert code == 0, printed
    result = Path("runs/optimization_results.yaml").read_text()
    losses = [
        json.loads((run / "DONE").read_text())["best"]["val/kl"]
        for run in find_runs([Path("runs")])
    ]
    assert len(losses) == 2
    assert f"best_value: {min(losses)}" in result
    code, printed = command("train", *arguments)
    assert "2 done, 2 of them before" in printed


def test_one_sweep_started_twice_at_once_trains_each_job_once(tiny):
    words = [sys.executable, "-m", "galgen.train", *tiny, "model.norm=group", "seed=0,1"]
    words += ["trainer.max_epochs=3"]
    both = [begin_sweep([*words, f"launcher={name}"]) for name in ("basic", "joblib")]
    printed = [sweep.communicate()[0] for sweep in both]
    assert [sweep.returncode for sweep in both] == [0, 0], printed
    assert all("sweep: 2 done" in said for said in printed), printed
    runs = find_runs([Path("runs")])
    assert [len(read_metrics(run)) for run in runs] == [3, 3]
    begun = [records_of(sweep.pid) for sweep in both]
    trained = [record["run"] for records in begun for record in records if not record["skipped"]]
    assert sorted(trained) == sorted(map(str, runs))


def begin_sweep(words: list[str]) -> subprocess.Popen:
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_job_takes_over_where_another_process_left_a_run_unfinished(tiny):
    name = ["run_name=mine", "run_root=runs"]
    Path("runs/mine").mkdir(parents=True)
    with FileLock("runs/mine/.lock"):
        sweep = begin_sweep([sys.executable, "-m", "galgen.train", *tiny, *name])
        while "waiting" not in next(lines := iter(sweep.stdout.readline, "")):
            pass
    printed = "".join(lines)
    assert sweep.wait() == 0, printed
    assert "sweep: 1 done; best" in printed
    assert len(read_metrics(Path("runs/mine"))) == 1


def test_a_job_that_is_killed_is_reported_and_one_that_is_told_to_leave_goes_on(tiny):
    words = [sys.executable, "-m", "galgen.train", *tiny, "trainer.max_epochs=40", "seed=0,1"]
    sweep = subprocess.Popen(
        [*words, "launcher=joblib"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = iter(sweep.stdout.readline, "")
    assert sum("running" in next(lines) for _ in range(2)) == 2
    while not all(record["pid"] for record in records_of(sweep.pid)):
        pass
    os.kill(records_of(sweep.pid)[0]["pid"], signal.SIGKILL)
    assert "failed" in next(lines)
    sweep.send_signal(signal.SIGTERM)
    printed = "".join(lines)
    sweep.wait()
    assert sweep.returncode == 75, printed
    assert "killed by SIGKILL" in printed
    assert "The same command continues" in printed
    assert "Traceback" not in printed
    assert records_of(sweep.pid)[1]["state"] == "cut"


def records_of(pid: int) -> list[dict]:
    folder = Path(os.environ["GALGEN_CACHE"]) / "sweeps"
    return [json.loads(path.read_text()) for path in folder.glob(f"*-{pid}/*.json")]


def test_gpus_are_handed_out_to_as_many_jobs_as_they_take(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    assert jobs_at_once(3) == 6
    with hold_gpus(1, 1) as first, hold_gpus(1, 1) as second:
        assert (first, second) == (["4"], ["7"])
        monkeypatch.setattr(devices.time, "sleep", lambda seconds: 1 / 0)
        with pytest.raises(ZeroDivisionError), hold_gpus(1, 1):
            pass
    with hold_gpus(2, 1) as both:
        assert both == ["4", "7"]
    with hold_gpus(1, 2) as one, hold_gpus(1, 2) as two, hold_gpus(1, 2) as three:
        assert (one, two, three) == (["4"], ["4"], ["7"])
    with hold_gpus(3, 1) as more, FileLock(tmp_path / f"galgen-{os.getuid()}" / "gpu4-0.lock"):
        assert more == []


def test_the_summary_counts_and_names_the_best():
    records = [
        JobRecord(0, [], "done", "runs/a", best=2.0),
        JobRecord(1, [], "done", "runs/b", best=1.0, skipped=True),
        JobRecord(2, [], "done", "runs/c", best=float("nan")),
        JobRecord(3, ["x=1"], "failed"),
    ]
    said = summary(records)
    assert said == "sweep: 3 done, 1 failed, 1 of them before; best so far 1 in runs/b"


@pytest.mark.parametrize(
    ("varied", "same", "best"),
    [
        ({}, True, "best so far 1 "),
        ({"optimizer.lr": 0.01, "model.width": 8, "seed": 3, "data.batch_size": 8}, True, "far 1 "),
        ({"beta_schedule.beta": 0.2}, False, "2 done"),
        ({"beta_schedule": "linear"}, True, "far 1 "),
        ({"likelihood": "gaussian"}, False, "2 done"),
        ({"transform": "none"}, False, "2 done"),
        ({"data.split_seed": 1}, False, "2 done"),
        ({"model": "fancy_cvae"}, False, "2 done"),
        (
            {"beta_schedule.beta": 0.2, "search": "optuna", "search.objective": "val/kl"},
            True,
            "far",
        ),
        ({"likelihood": "gaussian", "search": "optuna", "search.objective": "val/kl"}, False, ""),
        ({"likelihood": "gaussian", "search": "optuna", "search.objective": "flow.c2st"}, True, ""),
    ],
)
def test_objectives_are_compared_where_they_are_one_quantity(composed, varied, same, best):
    search = [f"{key}={value}" for key, value in varied.items() if key.startswith("search")]
    one = quantity(composed("run_dir=x", "run_name=x", *search))
    other = quantity(composed("run_dir=y", "run_name=y", *(f"{k}={v}" for k, v in varied.items())))
    assert (one == other) == same
    records = [
        JobRecord(0, [], "done", "runs/a", best=2.0, quantity=one),
        JobRecord(1, [], "done", "runs/b", best=1.0, quantity=other),
    ]
    assert best in summary(records)
    assert ("best so far" in summary(records)) == same
    columns = [column.header for column in table(records).columns]
    assert columns[4:] == (["loss"] if same else ["reconstruction", "kl"])


def test_the_best_of_a_search_that_maximises_is_the_largest():
    records = [
        JobRecord(i, [], "done", f"runs/{i}", best=float(i), maximise=True) for i in range(3)
    ]
    assert "best so far 2 in runs/2" in summary(records)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["beta_schedule.beta=tag(log, interval(0.01, 1))"], "would choose the smallest beta"),
        (["likelihood=squared_error,gaussian"], "another quantity for each value of likelihood"),
        (["search.objective=val/kl", "transform=peak,none"], "for each value of transform"),
        (["search.objective=normal.c2st", "data.split_seed=0,1"], "compared between surveys"),
        (["experiment=mine", "hydra.searchpath=[file://HERE/conf]"], "the smallest beta"),
    ],
)
def test_a_search_whose_objectives_cannot_be_compared_is_refused(command, tiny, words, message):
    Path("conf/experiment").mkdir(parents=True)
    varied = "hydra: {sweeper: {params: {beta_schedule.beta: 'choice(0.1, 1)'}}}"
    Path("conf/experiment/mine.yaml").write_text(f"# @package _global_\n{varied}")
    words = [word.replace("HERE", str(Path.cwd())) for word in words]
    code, printed = command("train", *tiny, "search=optuna", *words)
    assert code == 1
    assert message in printed
    assert printed.count("\n") == 1
    assert not Path("runs").exists()
