"""A report is one file that says and shows what a run holds."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from galgen.config.targets import instantiate
from galgen.import_weights import write_run
from galgen.report import out_file
from galgen.reports import facts
from galgen.runs import metrics as records
from galgen.runs.directory import Run
from galgen.runs.reading import find_runs, read_facts
from tests.reports.conftest import Page, pixels, written


@pytest.fixture
def copy(tmp_path):
    """Return a function that copies a run, with other values in its config."""

    def make(run: Path, name: str = "copy", **changes) -> Path:
        directory = shutil.copytree(run, tmp_path / "copies" / name)
        config = OmegaConf.merge(OmegaConf.load(directory / "config.yaml"), changes)
        OmegaConf.save(config, directory / "config.yaml")
        return directory

    return make


def test_the_numbers_of_the_run(source, trained):
    rows, kept = records.read_metrics(trained), read_facts(trained)
    best = min(rows, key=lambda row: row["val/loss"])
    page = Page(source)
    lead = "fancy_cvae, a redshift-conditional VAE of 3 latent dimensions, trained for 2 epochs on"
    assert f"{lead} 64 galaxies of 32 × 32 px." in page.text
    for name in ("loss", "reconstruction", "kl", "redshift"):
        assert facts.text(best[f"val/{name}"]) in page.text
    zero = kept["squared_error_of_zero"]["val"]
    assert f"all-zero prediction, validation {zero:.4g}" in page.text
    assert f"{best['val/reconstruction'] / zero:.1%} of an all-zero prediction's" in page.text
    assert "64 training, 8 validation, 8 test" in page.text
    assert "constant (beta 0.1)" in page.text
    assert "Adam (lr 0.001)" in page.text
    assert "squared error, summed over pixels" in page.text
    assert "simulated" not in page.text
    assert (trained / "config.yaml").read_text() in page.texts
    assert torch.__version__ in page.text


def test_nothing_is_fetched(source):
    page = Page(source)
    addresses = [
        attrs[key] for _, attrs in page.elements for key in ("src", "href") if key in attrs
    ]
    assert len(addresses) >= 7
    assert all(address.startswith("data:image/") for address in addresses)
    assert not any(tag in ("link", "iframe", "object") for tag, _ in page.elements)
    style = source[source.index("<style>") : source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert len(source) < 2e6


def test_the_pictures_are_there(source):
    page = Page(source)
    assert len(page.pictures) == 7
    assert all(picture.std() > 0 for picture in page.pictures.values())
    for title in ("Losses", "Reconstructions", "Generated galaxies", "Latents", "another redshift"):
        assert title in page.text


def test_the_slider_has_a_picture_for_each_redshift(source):
    page = Page(source)
    redshifts = [float(frame["label"].removeprefix("redshift ")) for frame in page.frames]
    train = np.linspace(0.1, 3, 80)  # the split takes 64 of these
    np.testing.assert_allclose(
        [redshifts[0], redshifts[-1]], np.percentile(train, [5, 95]), atol=0.2
    )
    assert len(redshifts) == 15
    assert (np.diff(redshifts) > 0).all()
    strips = [pixels(frame["uri"]) for frame in page.frames]
    assert {strip.shape for strip in strips} == {(32, 4 * 32 + 3 * 2, 4)}
    assert (strips[0] != strips[-1]).any()
    (slider,) = [attrs for tag, attrs in page.elements if tag == "input"]
    assert slider["type"] == "range"
    assert slider["max"] == "14"
    assert slider["id"] in [attrs["for"] for tag, attrs in page.elements if tag == "label"]


def test_an_unfinished_run_of_a_hostile_name(trained, copy):
    name = "<script>alert('x')</script> $x_1$ & \"q\""
    run = copy(trained, run_name=name)
    (run / "DONE").unlink()
    page = Page(written(run))
    assert [tag for tag, _ in page.elements].count("script") == 2
    assert not any("alert" in script for script in page.scripts)
    assert page.text.count(name) >= 2  # title and heading
    assert "This run is not finished: 2 epochs have ended" in page.text
    assert "last checkpoint" in page.text


def test_an_unconditional_run_with_an_evaluation(physical, copy):
    run = copy(physical)
    evaluation = {
        "frechet distance": 1.23456,
        "finite": True,
        "by redshift": [{"low": 0.1, "<b>": 2}, {"low": 0.5, "high": None}],
        "morphology": {"size": {"bias": 0.25, "scatter": float("nan")}, "ellipticity": {"bias": 3}},
        "deep": {"list": [[1, 2], [3]]},
    }
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    page = Page(written(run))
    assert "input" not in [tag for tag, _ in page.elements]
    assert "vae, a VAE of 3 latent dimensions" in page.text
    assert "asinh(image / scale), scale in the stamp file's unit; scale 0.5" in page.text
    assert "25.5 mag (AB)" in page.text
    for said in (
        "frechet distance 1.235",
        "finite yes",
        "0 0.1 2",
        "size 0.25 nan",
        "Evaluation: deep",
    ):
        assert said in page.text
    assert "b" not in [tag for tag, _ in page.elements]


def test_a_survey_that_is_gone(trained):
    page = Page(written(trained, data_file=Path("gone.h5")))
    assert "The survey is not available" in page.text
    assert "gone.h5: there is no such stamp file" in page.text
    assert sorted(page.pictures)[0] == "A grid of generated galaxies."
    assert len(page.pictures) == 2
    assert "decoded at several redshifts." in page.text


def test_what_is_simulated_is_called_so(trained, copy):
    run = copy(trained)
    kept = json.loads((run / "data.json").read_text())
    kept["attributes"] = {"survey": "simulated"}
    (run / "data.json").write_text(json.dumps(kept))
    page = Page(written(run, Path("gone.h5")))
    assert "on 64 simulated galaxies of" in page.text
    assert "cosmos: simulated galaxies, not observed ones" in page.text


def test_a_damaged_evaluation_is_said(trained, copy):
    run = copy(trained)
    (run / "evaluation.json").write_text("{")
    assert "evaluation.json is damaged" in Page(written(run, Path("gone.h5"))).text


def test_imported_weights(composed, survey):
    config = composed("model=cvae2", "data.image_size=32", "model.width=4", "run_name=imported")
    state = instantiate(config.model).state_dict()
    settings = {"beta": [0.1, 0.2], "z_dim": 32}
    run = Run(config)
    write_run(config, run, state, {"file": "old.pt", "sha256": "abc", "settings": settings})
    page = Page(written(run.directory, data_file=survey))
    assert (
        "cvae2, a redshift-conditional VAE of 32 latent dimensions, with imported weights"
        in page.text
    )
    assert "not trained on" not in page.text
    assert "Epochs" not in page.text
    assert "Losses" not in page.text
    assert "old.pt" in page.text
    assert "beta 0.1 0.2" in page.text
    assert len(page.frames) == 15
    page = Page(written(run.directory, data_file=Path("gone.h5")))
    assert "those that the model was trained on are not recorded" in page.text


def test_a_sweep(trained, physical, copy, command):
    two = copy(trained, "two", run_name="two")
    copy(trained, "one", run_name="one", optimizer={"lr": 0.5})
    begun = copy(physical, "begun", run_name="begun")
    shutil.rmtree(begun / "checkpoints")
    (begun / "metrics.csv").unlink()
    (begun / "DONE").unlink()
    damaged = copy(trained, "damaged")
    (damaged / "data.json").write_text("{")
    empty = copy(trained, "empty")
    (empty / "config.yaml").write_text("")
    odd = copy(trained, "odd")
    (odd / "metrics.csv").write_text("val/loss\n1.5\n")
    two.with_name("link").symlink_to(two)
    two.with_name("file").touch()
    code, printed = command("report", f"run={two.parent}", "device=cpu", "zoom=2")
    assert code == 0, printed
    page = Page((two.parent / "report.html").read_text(encoding="utf-8"))
    links = [attrs["href"] for tag, attrs in page.elements if tag == "a"]
    sections = [
        f"#{attrs['id']}" for tag, attrs in page.elements if tag == "details" if "id" in attrs
    ]
    assert links == sections == ["#run-1", "#run-2", "#run-3"]
    best = min(row["val/loss"] for row in records.read_metrics(two))
    assert f"one fancy_cvae 0.1 0 2 {best:.4g}" in page.text
    assert (
        page.text.index("begun vae") < page.text.index("one fancy") < page.text.index("two fancy")
    )
    assert "no epoch yet" in page.text
    assert "This run has no last checkpoint" in page.text
    assert f"{damaged / 'data.json'} is damaged" in page.text
    assert f"{empty / 'config.yaml'} is damaged" in page.text
    assert f"{odd}: " in page.text
    assert "optimizer.lr" in page.text
    assert [tag for tag, _ in page.elements].count("input") == 2
    identifiers = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(set(identifiers)) == len(identifiers)


def test_several_runs_need_a_place(trained, physical, command):
    code, printed = command("report", f"run=[{trained},{physical}]")
    assert code == 1
    assert "Give out=<file>.html" in printed
    assert find_runs([trained, physical, trained]) == [trained, physical]
    assert out_file(None, [Path("run")]) == Path("run/report.html")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["run=gone"], "run=gone: there is no such run"),
        (["run=."], "this folder is not a run and holds none"),
        (["run={run}", "out=file/page.html"], "file/page.html cannot be written, File exists"),
        (["run={run}", "out=."], ". is a folder"),
        (["run={run}", "out=page.html", "device=gpu"], "device=gpu"),
        (["run={run}", "out=page.html", "seed=-1"], "seed=-1"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(trained, command, overrides, sentence):
    Path("file").touch()
    code, printed = command("report", *(text.format(run=trained) for text in overrides))
    assert code == 1
    assert sentence in printed
    assert "Traceback" not in printed
    assert not Path("page.html").exists()


def test_long_lists_are_cut():
    (table,) = facts.tables_of([{"galaxy": n} for n in range(250)], "all")
    assert len(table.rows) == 100
    assert table.note == "There are 150 more rows in the file."
    (table,) = facts.tables_of({"all": list(range(250))})
    assert len(table.rows) == 100
