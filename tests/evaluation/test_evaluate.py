"""The evaluation command: what it writes, its controls, and what it says of bad input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from galgen.evaluate import log
from galgen.evaluation.observation import STRUCTURE
from galgen.runs.trained_run import TrainedRun
from tests.conftest import discs, run_command, train_once
from tests.training.test_loggers import (
    captions,
    events_of,
    of_kind,
    summary_of,
    texts,
    wandb_records,
)

CLEAR = {f"{name} of clear galaxies" for name in STRUCTURE}
SCORES = {"mean_w1", "mean_w1_floor", "c2st", "coverage", "frechet_encoder", "memorisation"}


@pytest.fixture(scope="session")
def fitted(simulated, tmp_path_factory) -> Path:
    """Copy the simulated run, with a mixture fitted to its latents."""
    run = tmp_path_factory.mktemp("fitted") / "run"
    shutil.copytree(simulated, run)
    run_command("fit_prior", f"run={run}", "prior=gmm", "prior.gmm.components=2")
    return run


@pytest.fixture(scope="session")
def evaluated(fitted) -> tuple[Path, dict]:
    """Evaluate it; give the run and evaluation.json."""
    run_command("evaluate", f"run={fitted}", "n=200", "seeds=2")
    return fitted, json.loads((fitted / "evaluation.json").read_text())


@pytest.fixture
def no_figures(monkeypatch) -> None:
    """Leave the figures out, which take half the time of a small evaluation."""
    monkeypatch.setattr("galgen.figures.evaluation_figures.draw_evaluation", lambda *_: {})


def test_it_says_what_was_compared_with_what(evaluated):
    _, found = evaluated
    assert found["survey"] == "simulated"
    assert found["simulated"] is True
    assert (found["split"], found["n"], found["real"]) == ("test", 200, 200)
    assert found["priors"] == ["normal", "gmm"]
    assert found["seeds"] == [0, 1]
    assert "fresh noise of the survey's correlation" in found["compared"]
    assert {"galgen", "galsim", "scikit-learn"} <= found["versions"].keys()
    assert all("stand on a pedestal" in note for note in found["left_out"])


def test_every_prior_and_control_is_scored(evaluated):
    _, found = evaluated
    assert found["scores"].keys() == {
        *("normal", "gmm", "posterior", "sersic", "training", "real_half", "shuffled")
    }
    for name in ("normal", "gmm", "posterior", "sersic", "training", "real_half"):
        assert found["scores"][name].keys() >= SCORES, name
        assert found["wasserstein"][name].keys() - CLEAR == set(found["statistics"])
    assert found["scatter_over_seeds"]["gmm"]["mean_w1"] > 0
    bound = found["bound"]
    assert bound["log_likelihood_normal"] >= bound["elbo"]
    assert bound["log_likelihood_gmm"] != bound["log_likelihood_normal"]
    assert found["reconstruction"]["reduced_chi2"] > 0.9


def test_the_controls_do_what_they_are_there_for(evaluated):
    scores = evaluated[1]["scores"]
    assert scores["real_half"]["c2st"] == pytest.approx(0.5, abs=0.2)  # of 100 against 100
    assert scores["training"]["memorisation"] == 0
    assert scores["real_half"]["memorisation"] == pytest.approx(1, abs=0.15)
    barely_trained = scores["normal"]
    assert barely_trained["c2st"] > 0.9
    assert barely_trained["mean_w1"] > 1.5 * scores["real_half"]["mean_w1"]  # of 100 against 100
    assert scores["shuffled"]["redshift_slope"] == pytest.approx(0, abs=0.15)


def test_failures_are_counted_by_cause(evaluated):
    counts = evaluated[1]["not_measured"]
    assert counts["real"]["galaxies"] == 200
    for count in counts.values():
        assert 0 <= count["left_out"] <= count["galaxies"]
        assert count["left_out"] <= sum(list(count.values())[2:])


def test_figures_are_drawn(evaluated):
    names = {path.name for path in (evaluated[0] / "figures").glob("evaluation_*")}
    kinds = ["statistics", "power", "redshift", "size_magnitude", "neighbours_normal"]
    for kind in [*kinds, "neighbours_gmm"]:
        assert {f"evaluation_{kind}.png", f"evaluation_{kind}.pdf"} <= names


@pytest.mark.usefixtures("no_figures")
def test_the_same_command_finds_the_same(evaluated, command, tmp_path):
    run = tmp_path / "again"
    shutil.copytree(evaluated[0], run)
    (run / "evaluation.json").unlink()
    code, printed = command("evaluate", f"run={run}", "n=200", "seeds=1", "prior=gmm")
    assert code == 0, printed
    found = json.loads((run / "evaluation.json").read_text())
    distances = evaluated[1]["wasserstein"]["gmm"]
    for name, expected in distances.items():
        assert found["wasserstein"]["gmm"][name]["value"] == pytest.approx(expected["value"])
    assert "W1/σ" in printed
    assert "real half" in printed
    assert "simulated" in printed


@pytest.mark.usefixtures("no_figures")
def test_more_galaxies_than_the_test_part_has_are_said(fitted, command, tmp_path):
    run = tmp_path / "more"
    shutil.copytree(fitted, run)
    code, printed = command("evaluate", f"run={run}", "n=260", "seeds=1", "prior=[normal,gmm]")
    assert code == 0, printed
    found = json.loads((run / "evaluation.json").read_text())
    assert (found["n"], found["real"]) == (260, 200)
    assert found["priors"] == ["normal", "gmm"]
    assert "n=260 is more than the test part has: 200 real galaxies" in found["left_out"][0]


def tracked(fitted: Path, folder: Path, node: dict) -> Path:
    """Copy a run, as if it had been trained with a logger."""
    shutil.copytree(fitted, folder)
    config = OmegaConf.load(folder / "config.yaml")
    config.logger = {"save_dir": ".", **node}
    OmegaConf.save(config, folder / "config.yaml")
    return folder


def test_scores_and_figures_go_to_the_run_s_wandb(fitted, command, tmp_path):
    node = {"_target_": "galgen.training.tracking.WandbLogger", "project": "p", "mode": "offline"}
    run = tracked(fitted, tmp_path / "tracked", {**node, "job_type": "train"})
    (run / "wandb_id.txt").write_text("abc123")
    code, printed = command("evaluate", f"run={run}", "n=200", "seeds=1", "prior=normal")
    assert code == 0, printed
    (file,) = run.glob("wandb/offline-run-*/*.wandb")
    records = wandb_records(file)
    (started,) = of_kind(records, "run")
    assert (started.run_id, started.job_type) == ("abc123", "train")
    told = captions(records, "evaluation/statistics")
    assert "200 generated against 200 galaxies of 'simulated'" in told[0]
    found = json.loads((run / "evaluation.json").read_text())["scores"]
    summary = summary_of(records)
    assert summary["evaluation/normal/mean_w1"] == pytest.approx(found["normal"]["mean_w1"])
    (file,) = run.glob("wandb/offline-run-*/files/media/table/evaluation/scores*.json")
    table = json.loads(file.read_text())
    assert [row[0] for row in table["data"]] == list(found)
    column = table["columns"].index("c2st")
    assert table["data"][0][column] == pytest.approx(found["normal"]["c2st"])


def test_scores_and_figures_go_to_the_run_s_tensorboard(evaluated, tmp_path):
    target = "galgen.training.tracking.TensorBoardLogger"
    node = {"_target_": target, "name": "tensorboard", "version": ""}
    run = tracked(evaluated[0], tmp_path / "tracked", node)
    pictures = {path.stem: path for path in run.glob("figures/evaluation_*.png")}
    log(TrainedRun(run), evaluated[1], pictures)
    events = events_of(run)
    found = evaluated[1]["scores"]["normal"]
    (logged,) = events.Scalars("evaluation/normal/mean_w1")
    assert logged.value == pytest.approx(found["mean_w1"])
    assert events.Images("evaluation/statistics")
    (caption,) = texts(events, "evaluation/statistics/caption")
    assert caption.startswith("statistics: 200 generated against 200 galaxies")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["n=10"], "n=10: it must be a whole number from 100"),
        (["n=many"], "n=many"),
        (["seeds=0"], "seeds=0"),
        (["prior=flows"], "prior=flows: there is no such option; did you mean 'flow'?"),
        (["prior=3"], "Config group override must be a string or a list"),
        (["prior=flow"], "prior=flow: it is not fitted to"),
        (["run=nowhere"], "run=nowhere: there is no such run"),
    ],
)
def test_bad_input_is_a_sentence_and_writes_nothing(fitted, command, overrides, sentence):
    before = sorted(path.name for path in fitted.iterdir())
    code, printed = command("evaluate", f"run={fitted}", *overrides)
    assert code == 1
    assert sentence in printed
    assert "Traceback" not in printed
    assert sorted(path.name for path in fitted.iterdir()) == before


def test_a_survey_with_too_few_test_galaxies_is_refused(physical, command):
    code, printed = command("evaluate", f"run={physical}")
    assert code == 1
    assert "8 galaxies in its test part" in printed


def test_a_peak_run_is_compared_with_noiseless_images(simulated, command, tmp_path):
    file = OmegaConf.load(simulated / "config.yaml").data.file
    data = ["data=simulated", f"data.file={file}", "data.split=[0.4,0.1,0.5]"]
    run = train_once(tmp_path, *data, "model=cvae2", "model.norm=group")
    code, printed = command("evaluate", f"run={run}", "n=120", "seeds=1")
    assert code == 0, printed
    found = json.loads((run / "evaluation.json").read_text())
    assert found["compared"].startswith("noiseless images of the survey, peak-normalised")
    assert any("normalisation leaves no light" in note for note in found["left_out"])
    assert "magnitude" not in found["statistics"]
    assert found["wasserstein"]["real_half"].keys() - CLEAR == set(found["statistics"])
    assert "reduced_chi2" not in found["reconstruction"]


def test_a_survey_without_redshift_magnitude_or_psf_is_evaluated_without(command, tmp_path):
    from galgen.data.stamp_writing import write_stamps

    noise = np.random.default_rng(0).normal(0, 0.02, (300, 32, 32)).astype("f4")
    write_stamps(tmp_path / "bare.h5", [{"image": discs(300) + noise}], {"survey": "mine"})
    data = ["data=mosaic", f"data.file={tmp_path / 'bare.h5'}", "data.split=[0.4,0.1,0.5]"]
    run = train_once(tmp_path, *data, "model=residual_vae", "likelihood=squared_error")
    code, printed = command("evaluate", f"run={run}", "n=150", "seeds=1")
    assert code == 0, printed
    found = json.loads((run / "evaluation.json").read_text())
    notes = " ".join(found["left_out"])
    for left_out in ("no redshifts", "no magnitudes", "sizes are in px", "no parametric control"):
        assert left_out in notes
    assert "redshift_slope" not in found["scores"]["normal"]
    assert not (run / "figures" / "evaluation_redshift.png").exists()
