"""The command that draws a run, and what it draws."""

import csv
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

import galgen
from galgen.config.paths import CONF
from galgen.figures.interpolation import Interpolation, decode_at
from galgen.figures.reconstruction import Reconstruction
from galgen.figures.samples import Samples
from galgen.figures.traversal import Traversal
from galgen.runs import metrics as records
from galgen.runs.encoded_survey import Latents, encode_part
from galgen.runs.trained_run import TrainedRun
from tests.conftest import SHARED

FIGURES = sorted(path.stem for path in (CONF / "figure").glob("*.yaml"))
FILES = {"latent": {"latent", "latent_kl"}}
ORIGINAL_LOSSES = SHARED / "data" / "seed" / "seed_losses.csv"


def panels(figure):
    return [axis for axis in figure.axes if axis.images]


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_is_written_as_png_and_pdf(command, trained, figure):
    code, printed = command("plot", f"run={trained}", f"figure={figure}", "out=pictures")
    assert code == 0, printed
    names = FILES.get(figure, {figure})
    expected = {f"{name}{ending}" for name in names for ending in (".png", ".pdf")}
    expected |= {"latents_val.h5"} if figure == "latent" else set()
    assert {path.name for path in Path("pictures").iterdir()} == expected
    assert all(f"pictures/{name}" in printed for name in expected)
    for name in names:
        assert Path(f"pictures/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert Path(f"pictures/{name}.pdf").read_bytes().startswith(b"%PDF")


def test_pictures_go_into_the_run(command, physical, tmp_path):
    run = shutil.copytree(physical, tmp_path / "run")
    for figure in ("samples", "traversal", "interpolation between=[0,3]"):
        code, printed = command("plot", f"run={run}", *f"figure={figure}".split())
        assert code == 0, printed
        name = figure.replace(" between=[0,3]", "_between0-3")
        assert (run / "figures" / f"{name}.pdf").is_file(), printed


def test_pictures_are_named_by_what_they_are_drawn_with(command, trained):
    arguments = [f"run={trained}", "figure=samples", "n=2", "out=pictures"]
    for redshift in ("0.5", "0.5:2", "[0.5,1]"):
        code, printed = command("plot", *arguments, f"redshift={redshift}")
        assert code == 0, printed
    expected = {"samples_n2_redshift0.5", "samples_n2_redshift0.5to2", "samples_n2_redshift0.5-1"}
    assert {path.stem for path in Path("pictures").iterdir()} == expected
    assert len(list(Path("pictures").glob("*.png"))) == 3
    code, printed = command("plot", *arguments, "redshift=0.5")
    assert (code, "exists. Give overwrite=true" in printed) == (1, True)
    assert command("plot", *arguments, "redshift=0.5", "overwrite=true")[0] == 0


def test_a_figure_of_one_s_own_is_one_file_more(command, trained):
    Path("mine/figure").mkdir(parents=True)
    Path("mine/figure/faces.yaml").write_text(
        "# @package _global_\nn: 3\nfigure:\n  n: ${n}\n  seed: ${seed}\n"
        "  _target_: galgen.figures.reconstruction.Reconstruction\n"
    )
    arguments = ["--config-dir=mine", f"run={trained}", "figure=faces", "out=pictures"]
    code, printed = command("plot", *arguments, "n=2", "seed=4")
    assert code == 0, printed
    assert Path("pictures/reconstruction_n2_seed4.png").is_file()


def test_chosen_generated_galaxies_are_those_of_their_numbers(trained):
    run = TrainedRun(trained)
    figure = Samples(galaxies=[7, 2], redshift=0.5, stretch="linear").draw(run)["samples"]
    for axis, number in zip(panels(figure), (7, 2), strict=True):
        [image] = run.sample(1, 0.5, start=number)
        np.testing.assert_allclose(axis.images[0].get_array(), image[0].clip(0, 1), atol=1e-6)


def test_a_figure_for_a_talk_has_larger_letters_and_as_many_pixels(trained):
    run = TrainedRun(trained)
    paper, talk = (
        Reconstruction(n=3, style=style).draw(run)["reconstruction"] for style in ("paper", "talk")
    )
    assert talk.get_figwidth() < paper.get_figwidth()
    assert talk.get_dpi() > 1.5 * paper.get_dpi()


def test_reconstructions_are_the_models(trained):
    run = TrainedRun(trained)
    figure = Reconstruction(galaxies=[4, 1], split="train", stretch="linear").draw(run)
    axes = panels(figure["reconstruction"])
    batch = run.survey.batch("train", np.array([4, 1]))
    latent = run.model.encode_batch(batch).mean
    expected = run.model.decode(latent, batch.redshift)
    shown = axes[3].images[0].get_array()
    peak = batch.image[1].max()
    np.testing.assert_allclose(shown, (expected[1, 0] / peak).clip(0, 1), atol=1e-5)
    predicted = run.model.predict(latent, batch.redshift)
    title = f"redshift {batch.redshift[0]:.2f}\npredicted {predicted[1][0]:.2f}"
    assert axes[0].get_title() == title
    assert axes[4].get_xlabel() == "no. 4"


def test_random_galaxies_follow_from_the_seed_alone(trained):
    run = TrainedRun(trained)
    chosen = [Reconstruction(seed=seed).choose(run, None, 5).tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert sorted(set(chosen[0])) == chosen[0]
    assert len(Reconstruction().choose(run, None, 99)) == len(run.survey.parts["val"])


def test_samples_of_a_list_are_side_by_side(trained):
    run = TrainedRun(trained)
    figure = Samples(n=6, redshift=[0.5, 2], stretch="linear", seed=4).draw(run)["samples"]
    axes = panels(figure)
    assert [axis.get_title() for axis in axes[:2]] == ["redshift 0.50", "redshift 2.00"]
    images = run.sample(3, redshift=2.0, seed=4).clip(0, 1)
    np.testing.assert_allclose(axes[5].images[0].get_array(), images[2, 0], atol=1e-6)
    assert len(axes) == 6


@pytest.mark.parametrize("picture", [Samples(redshift=0, n=2), Interpolation(redshift=0, n=1)])
def test_redshift_zero_is_a_redshift(trained, picture):
    (figure,) = picture.draw(TrainedRun(trained)).values()
    assert "redshift 0.00" in [axis.get_title() for axis in panels(figure)]


def test_an_interpolation_ends_at_its_galaxies(trained):
    run = TrainedRun(trained)
    figure = Interpolation(between=[1, 6], steps=5, stretch="linear").draw(run)["interpolation"]
    axes = panels(figure)
    batch = run.survey.batch("val", np.array([1, 6]))
    latent = run.model.encode_batch(batch).mean
    ends = run.model.decode(latent, batch.redshift)
    peak = max(float(batch.image.max()), float(ends.max()))
    for axis, image in zip((axes[1], axes[5]), ends, strict=True):
        np.testing.assert_allclose(axis.images[0].get_array(), image[0] / peak, atol=1e-5)
    low, high = batch.redshift.tolist()
    between = [f"decoded\nredshift {z:.2f}" for z in np.linspace(low, high, 5)]
    titles = [f"no. 1\nredshift {low:.2f}", *between, f"no. 6\nredshift {high:.2f}"]
    assert [axis.get_title() for axis in axes] == titles


def test_galaxies_are_decoded_at_the_redshifts_requested(trained):
    run = TrainedRun(trained)
    images, own = decode_at(run, "val", np.array([2, 0]), np.array([0.5, 1.5]))
    batch = run.survey.batch("val", np.array([2, 0]))
    assert images.shape == (2, 3, 1, 32, 32)
    np.testing.assert_array_equal(images[:, 0], batch.image)
    np.testing.assert_array_equal(own, batch.redshift)
    latent = run.model.encode_batch(batch).mean
    expected = run.model.decode(latent, torch.full((2,), 1.5))
    np.testing.assert_allclose(images[:, 2], expected, atol=1e-6)


def test_a_traversal_changes_one_dimension_a_row_sorted_by_kl(trained):
    run = TrainedRun(trained)
    figure = Traversal(galaxy=3, dimensions=2, steps=3, stretch="linear").draw(run)["traversal"]
    latents = encode_part(run, "val")
    best = int(np.argmax(latents.kl))
    axes = panels(figure)
    assert axes[0].get_ylabel().startswith(f"latent {best}\n{latents.kl[best]:.2f}")
    latent = np.tile(latents.mean[3], (3, 1))
    latent[:, best] = [-3, 0, 3]
    expected = run.decode(latent, latents.redshift[3])
    shown = np.array([axis.images[0].get_array() for axis in axes[:3]])
    np.testing.assert_allclose(shown, expected[:, 0] / expected.max(), atol=1e-5)


def test_latents_are_saved_with_kl_and_active_dimensions(command, trained):
    arguments = [f"run={trained}", "figure=latent", "split=train", "dimensions=[0,2]"]
    assert command("plot", *arguments, "out=.", "colour=redshift")[0] == 0
    run = galgen.load(trained)
    batch = run.survey.batch("train", np.arange(len(run.survey.parts["train"])))
    q = run.model.encode_batch(batch)
    kl = kl_divergence(q, Normal(0.0, 1.0)).mean(dim=0)
    with h5py.File("latents_train.h5") as file:
        np.testing.assert_allclose(file["mean"], q.mean, atol=1e-5)
        np.testing.assert_allclose(file["kl"], kl, rtol=1e-4)
        np.testing.assert_array_equal(file["row"], batch.index)
        np.testing.assert_allclose(file["redshift"], batch.redshift)
        deviation = (file["sample"][:] - file["mean"][:]) / file["std"][:]
        assert abs(deviation.std() - 1) < 0.2
        assert file.attrs["run"] == "tiny"


def test_active_units_vary_in_the_mean():
    rng = np.random.default_rng(0)
    mean = np.stack([rng.normal(size=500), 0.05 * rng.normal(size=500)], axis=1)
    latents = Latents(mean, np.ones((500, 2)), mean, np.arange(500), np.ones(500))
    assert latents.active.tolist() == [True, False]
    assert latents.kl[0] == pytest.approx(0.5 * (mean[:, 0] ** 2).mean())


def test_losses_of_several_runs(command, trained, physical):
    both = f"run=[{trained},{physical}]"
    code, printed = command("plot", both, "figure=losses")
    assert (code, "out=<folder>" in printed) == (1, True)
    code, printed = command("plot", both, "figure=samples", "out=.")
    assert (code, "figure=samples draws one run alone. Give one run." in printed) == (1, True)
    assert command("plot", both, "figure=losses", "scale=linear", "out=.")[0] == 0
    curves = records.read_curves([str(trained), str(physical)])
    assert list(curves) == ["tiny", str(physical)]  # of one name
    assert curves["tiny"] == records.read_metrics(trained)


@pytest.mark.skipif(not ORIGINAL_LOSSES.exists(), reason="needs the original's records")
def test_the_original_projects_losses(command):
    curves = records.read_curves([str(ORIGINAL_LOSSES)])
    assert len(curves) == 8
    assert {len(rows) for rows in curves.values()} == {100}
    with open(ORIGINAL_LOSSES, newline="") as file:
        first = next(csv.DictReader(file))
    label = "cvae, cosmic survey, β = 0.1"
    assert curves[label][0]["val/loss"] == float(first["val_loss_per_image"])
    code, printed = command("plot", f"run={ORIGINAL_LOSSES}", "figure=losses", "out=.")
    assert code == 0, printed


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["run=nowhere"], "there is no such run"),
        (["figure=nonsense"], "there are interpolation, latent, losses"),
        (["figure=samples", "redshift=-1"], "is not a redshift"),
        (["figure=samples", "n=0"], "n=0"),
        (["figure=samples", "prior=flow"], "prior=flow: it is not fitted to"),
        (["figure=samples", "redshit=1"], "no such key"),
        (["cmap=hottest"], "takes a colour map of matplotlib"),
        (["bands=5"], "galgen: bands=5: it is neither the name of a band nor a list"),
        (["stretch=sqrt"], "asinh, linear, log"),
        (["zoom=0"], "zoom=0"),
        (["split=all"], "train, val, test"),
        (["galaxies=[3,999]"], "galaxy 999"),
        (["galaxies=x"], "galaxy x"),
        (["galaxies=[]"], "name at least one"),
        (["figure=latent", "dimensions=[]"], "name at least one"),
        (["figure=traversal", "limit=inf"], "limit=inf"),
        (["figure=interpolation", "steps=40"], "side by side are too small"),
        (["run="], "this folder is not a run"),
        (["seed=-1"], "seed=-1"),
        (["data.file=nowhere.h5"], "no such stamp file"),
        (["figure=interpolation", "between=[1]"], "takes two galaxies"),
        (["figure=interpolation", "between=[1,2]", "redshift=0:1"], "between and redshift"),
        (
            ["figure=latent", "dimensions=[7]"],
            "7 is not available; the latent dimensions are 0 to 2",
        ),
        (["figure=latent", "colour=size"], "null or redshift"),
        (["figure=losses", "scale=sqrt"], "log or linear"),
        (["figure=traversal", "galaxy=-1"], "galaxy -1"),
        (["run=[a,b]"], "run=a: there is no such run"),
        (["out=a_file"], "cannot be written"),
    ],
)
def test_bad_input_is_a_sentence(command, trained, overrides, sentence):
    Path("a_file").touch()
    arguments = {"run": trained, "out": "pictures"}
    arguments |= dict(item.split("=", 1) for item in overrides)
    code, printed = command("plot", *(f"{k}={v}" for k, v in arguments.items()))
    assert code == 1, printed
    assert sentence in printed, printed
    assert "Traceback" not in printed
    assert not Path("pictures").exists()


def test_figures_that_need_a_redshift_say_so(command, physical):
    code, printed = command("plot", f"run={physical}", "figure=interpolation", "out=.")
    assert (code, "between=[0,1]" in printed) == (1, True)
    code, printed = command("plot", f"run={physical}", "figure=samples", "redshift=1", "out=.")
    assert (code, "does not use redshift" in printed) == (1, True)


def test_a_run_that_has_only_begun(command, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    for path in (run / "DONE", run / "metrics.csv"):
        path.unlink()
    code, printed = command("plot", f"run={run}", "figure=losses")
    assert (code, "no epoch of it has ended" in printed) == (1, True)
    shutil.rmtree(run / "checkpoints")
    code, printed = command("plot", f"run={run}")
    assert (code, "no last checkpoint yet" in printed) == (1, True)


def test_no_gradient_is_kept(trained):
    assert not any(p.requires_grad for p in galgen.load(trained).model.parameters())
    assert torch.is_grad_enabled()
