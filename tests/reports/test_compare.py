"""A comparison shows the numbers that the runs' files hold, beside each other."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from galgen.config.command_line import name_words
from galgen.errors import GalgenError
from galgen.figures.rate_distortion import draw_rate_distortion
from galgen.reports.comparison import compare, panels, read_runs
from galgen.runs.run_config import stored_form

FACTS = {
    "survey": "cosmos",
    "stamps": 80,
    "attributes": {},
    "transform": {"name": "peak"},
    "squared_error_of_zero": {"train": 20.0, "val": 25.0},
}
FILES = ["comparison.csv", "comparison.md", "rate_distortion.pdf", "rate_distortion.png"]


@pytest.fixture
def make(composed):
    """Return a function that writes the small files of a run."""

    def make_run(
        path: str, beta: float, *overrides: str, kl=4.5, epochs=3, done=True, scores=None, **changes
    ) -> Path:
        directory = Path(path)
        directory.mkdir(parents=True)
        config = composed(f"beta_schedule.beta={beta}", "run_dir=.", *overrides)
        config.run_name = directory.name
        OmegaConf.save(stored_form(config), directory / "config.yaml")
        (directory / "data.json").write_text(json.dumps({**FACTS, **changes}))
        lines = ["epoch,lr,val/beta,val/kl,val/loss,val/reconstruction"]
        for epoch, term in zip(range(1, epochs + 1), (9.0, 6.123456, 7.0), strict=False):
            lines.append(f"{epoch},0.1,{beta},{kl + epoch},{term + beta * (kl + epoch)},{term}")
        (directory / "metrics.csv").write_text("\n".join(lines) + "\n")
        if done:
            (directory / "DONE").write_text("{}")
        if scores:
            evaluation = {"survey": "cosmos", "simulated": False, "split": "test", "n": 8}
            evaluation |= {"seeds": [0], "scores": scores, "bound": {"active_units": 3}}
            (directory / "evaluation.json").write_text(json.dumps(evaluation))
        return directory

    return make_run


def table(folder: str = "comparison") -> list[dict]:
    with open(Path(folder) / "comparison.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_numbers_are_those_of_the_files(make, command):
    scores = {
        "normal": {"c2st": 0.71234567, "recall": None},
        "real_half": {"c2st": 0.5, "recall": 1.0},
        "flow": {"c2st": 0.6, "recall": 0.25, "new metric": 3},
    }
    make("runs/b", 0.1, scores=scores)
    make("runs/a", 1.0, done=False)
    code, printed = command("compare", "runs")
    assert code == 0, printed
    assert sorted(printed.splitlines()[-4:]) == [f"comparison/{name}" for name in FILES]
    assert sorted(path.name for path in Path("comparison").iterdir()) == FILES
    normal, flow, other = table()
    assert [row["run"] for row in (normal, flow, other)] == ["b", "b", "a"]  # in order of beta
    assert [row["prior"] for row in (normal, flow, other)] == ["normal", "flow", ""]
    assert float(normal["val/reconstruction"]) == 6.123456
    assert float(normal["val/kl"]) == 6.5
    assert float(normal["val/loss"]) == 6.123456 + 0.1 * 6.5
    assert normal["epochs"] == "3"
    assert float(normal["c2st"]) == 0.71234567
    assert [normal["recall"], flow["recall"], other["recall"]] == ["", "0.25", ""]
    assert [flow["new metric"], flow["bound/active_units"]] == ["3", "3"]
    assert [row["state"] for row in (flow, other)] == ["done", "not finished"]
    assert "Not finished: a (3 of 100 epochs)." in printed
    assert "beta_schedule.beta" not in normal  # the column beta tells it
    assert [float(row["beta"]) for row in (flow, other)] == [0.1, 1]


def test_the_best_is_what_comes_closest_to_perfect(make):
    make("runs/a", 0.1, scores={"normal": {"c2st": 0.45, "mean_w1": 0.3, "density": 1.4, "x": 1}})
    make("runs/b", 1.0, scores={"normal": {"c2st": 0.58, "mean_w1": 0.2, "density": 0.9, "x": 2}})
    make("runs/c", 2.0, scores={"normal": {"c2st": None, "mean_w1": 0.2, "density": float("nan")}})
    compared, notes = read_runs([Path("runs/a"), Path("runs/b"), Path("runs/c")])
    comparison = compare(compared)
    assert comparison.best == {(0, "c2st"), (1, "mean_w1"), (2, "mean_w1"), (1, "density")}
    assert notes == []
    evaluation = json.loads(Path("runs/b/evaluation.json").read_text())
    Path("runs/b/evaluation.json").write_text(json.dumps({**evaluation, "n": 9}))
    comparison = compare(read_runs([Path("runs/a"), Path("runs/b")])[0])
    assert comparison.best == set()
    assert any("8 galaxies, test, cosmos; 9 galaxies" in note for note in comparison.notes)


def test_the_best_is_bold_and_bars_are_escaped(make, command):
    make("runs/a|b", 0.1, scores={"normal": {"c2st": 0.75}, "flow": {"c2st": 0.625}})
    code, printed = command("compare", "runs/a|b")
    assert code == 0, printed
    lines = Path("comparison/comparison.md").read_text().splitlines()
    assert len({line.replace(r"\|", "").count("|") for line in lines[:4]}) == 1
    assert r"| a\|b |" in lines[2]
    assert lines[2].endswith("| normal | 0.75 |")
    assert lines[3].endswith("| flow | **0.625** |")


def test_what_cannot_be_compared_is_said_and_drawn_apart(make, command):
    make("runs/a", 0.1)
    make("runs/b", 1.0, "likelihood=gaussian", "likelihood.sigma=0.1")
    make("runs/c", 1.0, attributes={"survey": "simulated"})
    code, printed = command("compare", "runs")
    assert code == 0, printed
    assert "The surveys differ (cosmos; cosmos (simulated))" in printed
    assert "The likelihoods differ (gaussian (sigma 0.1); squared error)" in printed
    groups = panels(read_runs([Path(f"runs/{name}") for name in "abc"])[0])
    assert [group["title"].split(", ")[0] for group in groups] == [
        *("cosmos", "cosmos", "cosmos (simulated)"),
    ]
    assert [group["zeros"] for group in groups] == [[25.0], [], [25.0]]


def test_lines_go_through_the_means_of_seeds_in_order_of_beta(make):
    betas = [(10.0, 0, 1.0), (0.01, 0, 9.0), (0.1, 0, 5.0), (0.1, 1, 7.0)]
    for number, (beta, seed, kl) in enumerate(betas):
        make(f"runs/{number}", beta, f"seed={seed}", kl=kl)
    make("runs/wide", 0.1, "model.width=8", kl=20)
    make("runs/wide2", 1, "model=vae", kl=20)
    (group,) = panels(read_runs(sorted(Path("runs").iterdir()))[0])
    assert {run["series"] for run in group["runs"]} == {"cvae2, width 64", "cvae2, width 8", "vae"}
    figure = draw_rate_distortion([group])
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    np.testing.assert_allclose(
        [line.get_xdata() for line in lines], [[11, 8, 2]]
    )  # at beta 10 the first epoch is the best
    dots = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert sorted(dots) == [2, 7, 9, 11, 22, 22]
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(labels) == ["β = 0.01", "β = 0.1", "β = 0.1", "β = 1", "β = 10"]


def test_labels_keep_apart():
    runs = [
        {"series": "vae", "beta": beta, "rate": rate, "distortion": 5 + 0.01 * rate}
        for beta, rate in ((0.1, 5.0), (0.2, 5.05), (0.3, 5.1), (0.4, 5.15), (1, 0.0), (2, 9.0))
    ]
    runs = [{**run, "finished": True} for run in runs]
    panel = {"title": "cosmos", "distortion": "squared error", "zeros": [25.0], "runs": runs}
    figure = draw_rate_distortion([panel])
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 6
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])


def test_runs_are_named_once_and_told_apart(make, command):
    first, second = make("one/same name", 0.1), make("two/same name", 1.0)
    code, printed = command("compare", str(first), "two", str(first.absolute()), "out=o")
    assert code == 0, printed
    assert [row["run"] for row in table("o")] == [str(first), str(second)]
    code, printed = command("compare", f"run='{first}'", "out=o")
    assert (code, "o/comparison.csv exists" in printed) == (1, True)
    assert [row["run"] for row in table("o")] == [str(first), str(second)]
    command("compare", f"run='{first}'", "out=o", "overwrite=true")
    assert [row["run"] for row in table("o")] == ["same name"]


def test_a_run_without_an_epoch_is_left_out(make, command):
    make("runs/a", 0.1)
    make("runs/begun", 0.1, epochs=0, done=False)
    code, printed = command("compare", "runs")
    assert code == 0, printed
    assert "Left out: runs/begun: no epoch has ended" in printed
    assert [row["run"] for row in table()] == ["a"]
    code, printed = command("compare", "runs/begun", "out=other")
    assert code == 1
    assert "runs/begun: no epoch has ended, so there is nothing to compare" in printed
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("evaluation.json", "{", "evaluation.json is damaged: "),
        ("evaluation.json", "[" * 100_000, "evaluation.json is damaged: "),
        ("evaluation.json", "[1]", "evaluation.json is damaged: "),
        ("evaluation.json", '{"scores": [1]}', "evaluation.json is damaged: "),
        ("evaluation.json", '{"scores": {"flow": 1}}', "scores.flow=1: it must hold numbers"),
        ("evaluation.json", '{"bound": {"kl": "x"}}', "bound.kl='x': it must be a number"),
        ("data.json", '{"survey": "a", "transform": {"name": 1}, "attributes": 3}', "is damaged"),
        ("config.yaml", "model: 3", "config.yaml is damaged"),
        ("metrics.csv", "epoch,val/loss\n1,x\n", "metrics.csv is damaged"),
    ],
)
def test_the_bad_one_is_named(make, command, name, content, sentence):
    make("runs/a", 0.1)
    (make("runs/bad", 1.0) / name).write_text(content)
    code, printed = command("compare", "runs")
    assert code == 1
    assert sentence in printed
    assert "runs/bad" in printed
    assert "Traceback" not in printed
    assert not Path("comparison").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "missing: run (run directories and folders of them"),
        (["runs/a", "gone"], "run=gone: there is no such run. Runs in runs: a."),
        (["runs/a", "run=runs/a"], "runs/a: give all as run=[...], or all as words"),
        (["runs/a", "ouut=b"], "ouut: there is no such key; did you mean 'out'?"),
        (["runs/a", "out=runs/a/DONE"], "runs/a/DONE: the comparison cannot be written"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(make, command, arguments, sentence):
    make("runs/a", 0.1)
    code, printed = command("compare", *arguments)
    assert code == 1
    assert sentence in printed
    assert "Traceback" not in printed


def test_words_become_a_list_that_hydra_reads(make, command):
    names = ["a b", "c,d", "it's", "beta=0.1", "[e]", "déjà"]
    for number, name in enumerate(names):
        make(f"runs/{name}", number + 1)
    code, printed = command("compare", *(f"runs/{name}" for name in names))
    assert code == 0, printed
    assert [row["run"] for row in table()] == names
    assert name_words(["--cfg", "job", "a", "x=1"], "run") == ["--cfg", "job", "x=1", "run='a'"]
    assert name_words(["run=a", "-h"], "run") == ["run=a", "-h"]
    with pytest.raises(GalgenError, match="all as words without run="):
        name_words(["a", "run=b"], "run")


def test_neither_torch_nor_lightning_is_imported(make):
    make("runs/a", 0.1)
    script = (
        "import sys\nfrom galgen.compare import main\nmain()\n"
        "print([m for m in ('torch', 'pytorch_lightning') if m in sys.modules])"
    )
    command = [sys.executable, "-c", script, "runs/a"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr
