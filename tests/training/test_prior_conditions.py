"""Galaxies of requested or learned conditions, by priors that know them."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from omegaconf import OmegaConf

import galgen
from galgen.figures.samples import Samples
from galgen.runs.conditions import COLUMNS
from tests.conftest import train_once
from tests.training.conftest import PRIORS, REDSHIFT, fit


@pytest.mark.parametrize("prior", PRIORS)
def test_a_catalogue_holds_what_load_samples(command, fitted, prior):
    arguments = [f"run={fitted}", "n=3", "start=2", "redshift=[2.5,0.3,1.0]", "seed=4"]
    for size in (1, 64):
        out = f"mock{size}.h5"
        code, printed = command(
            "generate", *arguments, f"out={out}", f"prior={prior}", f"batch_size={size}"
        )
        assert code == 0, printed
    assert Path("mock1.h5").read_bytes() == Path("mock64.h5").read_bytes()
    with h5py.File("mock1.h5") as file:
        images, redshift, attrs = file["image"][:], file["redshift"][:], dict(file.attrs)
    assert sorted(redshift) == sorted(REDSHIFT)
    expected = galgen.load(fitted).sample(3, redshift, prior, seed=4, start=2)
    np.testing.assert_array_equal(images, expected)
    other = galgen.load(fitted).sample(3, redshift, "normal", seed=4, start=2)
    assert not np.array_equal(images, other)
    assert attrs["prior"] == prior
    assert len(attrs["prior_sha256"]) == 64


@pytest.mark.parametrize("ending", [".fits", ".h5", ".zarr"])
def test_learned_conditions_are_columns_that_the_images_follow_from(command, fitted, ending):
    from tests.catalogues.conftest import read

    arguments = [f"run={fitted}", "conditions=learned", "prior=flow"]
    code, printed = command("generate", *arguments, "n=40", f"out=m{ending}")
    assert code == 0, printed
    found = read(Path(f"m{ending}"))
    drawn = {name: found[f"requested_{name}"] for name in ("magnitude", "size")}
    images = galgen.load(fitted).sample(40, found["redshift"], "flow", **drawn)
    np.testing.assert_array_equal(found["image"], images)
    assert len(set(found["redshift"])) == 40
    with h5py.File(OmegaConf.load(fitted / "config.yaml").data.file) as survey:
        for name, values in {"redshift": found["redshift"], **drawn}.items():
            known = survey[COLUMNS[name]][:].ravel()[np.isfinite(survey["magnitude"][:].ravel())]
            assert known.min() <= values.min() < values.max() <= known.max()
    assert {"flux", "magnitude", "flux_radius"} <= set(found)  # what is measured
    code, printed = command("generate", *arguments, "n=9", "start=21", f"out=piece{ending}")
    for name, values in read(Path(f"piece{ending}")).items():
        np.testing.assert_array_equal(values, found[name][21:30], err_msg=name)


def test_bad_conditions_of_a_catalogue(command, fitted, full):
    arguments = [f"run={fitted}", "n=3", "out=m.h5", "conditions=learned"]
    code, printed = command("generate", *arguments, "redshift=1")
    assert (code, "Leave redshift=1 out" in printed) == (1, True)
    code, printed = command("generate", *arguments[:-1], "conditions=known")
    assert (code, "conditions=known: it can be learned" in printed) == (1, True)
    code, printed = command("generate", f"run={full}", *arguments[1:])
    assert (code, "has no distribution of its survey's conditions" in printed) == (1, True)
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            ["magnitude=22", "prior=normal"],
            "magnitude=22: prior=normal does not know it. Use prior=",
        ),
        (["magnitude=22", "prior=gmm"], "Use prior=flow"),
        (["magnitude=bright", "prior=flow"], "magnitude=bright: give a number"),
        (["magnitude=99", "prior=flow"], "99 is not a magnitude. It takes -50 to 50"),
        (["size=-1", "prior=flow"], "-1 is not a size"),
        (["magnitude=22", "conditions=learned"], "Leave magnitude=22 out"),
        (["edge=cut"], "edge=cut: it can be keep or subtract"),
    ],
)
def test_conditions_that_cannot_be_are_a_sentence(command, fitted, asked, sentence):
    redshift = [] if "conditions=learned" in asked else ["redshift=1"]
    code, printed = command("generate", f"run={fitted}", "n=3", "out=m.h5", *redshift, *asked)
    assert (code, sentence in printed) == (1, True), printed
    assert not list(Path().iterdir())


@pytest.mark.parametrize("ending", [".fits", ".h5", ".zarr"])
def test_galaxies_are_asked_for_by_magnitude_and_size(command, fitted, ending):
    from tests.catalogues.conftest import digest, read

    arguments = [f"run={fitted}", "prior=flow", "redshift=0.5:2", "magnitude=21:24"]
    arguments += ["size=[0.2,0.3]", "n=21"]
    for size in (1, 64):
        code, printed = command(
            "generate", *arguments, f"out=m{size}{ending}", f"batch_size={size}"
        )
        assert code == 0, printed
    assert digest(Path(f"m1{ending}")) == digest(Path(f"m64{ending}"))
    found = read(Path(f"m1{ending}"))
    assert (found["requested_magnitude"] > 21).all()
    assert (found["requested_magnitude"] < 24).all()
    assert found["requested_size"].tolist()[:3] == pytest.approx([0.2, 0.3, 0.2])
    asked = {name: found[f"requested_{name}"] for name in ("magnitude", "size")}
    images = galgen.load(fitted).sample(21, found["redshift"], "flow", **asked)
    np.testing.assert_array_equal(found["image"], images)
    code, printed = command("generate", *arguments[:-1], "n=4", "start=9", f"out=piece{ending}")
    for name, values in read(Path(f"piece{ending}")).items():
        np.testing.assert_array_equal(values, found[name][9:13], err_msg=name)


def test_conditions_beyond_the_training_are_a_warning(command, fitted):
    arguments = [f"run={fitted}", "n=2", "out=m.h5", "redshift=1", "prior=flow", "magnitude=30"]
    code, printed = command("generate", *arguments)
    assert code == 0, printed
    assert "magnitude=30 goes beyond the" in printed


def test_conditions_that_contradict_each_other_are_a_warning(command, fitted):
    arguments = [f"run={fitted}", "prior=flow", "redshift=1", "n=3", "overwrite=true", "out=m.h5"]
    code, printed = command("generate", *arguments, "magnitude=23", "size=0.3")
    assert (code, "standard deviations" in printed) == (0, False)
    code, printed = command("generate", *arguments, "magnitude=23", "size=0.45")
    assert code == 0
    assert "redshift=1, magnitude=23, size=0.45: such galaxies are" in printed
    assert "standard deviations from the survey's" in printed
    code, printed = command("generate", *arguments, "magnitude=[23,21.5]", "size=0.45")
    assert "50% of such galaxies are" in printed


def test_conditions_of_the_survey_are_those_of_its_galaxies(command, fitted):
    arguments = [f"run={fitted}", "n=30", "out=m.h5", "prior=flow"]
    code, printed = command("generate", *arguments, "redshift=survey", "magnitude=survey")
    assert code == 0, printed
    survey = galgen.load(fitted).survey
    rows = survey.parts["train"].rows
    pairs = {
        (np.float32(survey.stamps.columns["redshift"][row]), np.float32(m))
        for row, m in zip(rows, survey.stamps.by_galaxy("magnitude")[rows], strict=True)
    }
    with h5py.File("m.h5") as file:
        found = set(zip(file["redshift"][:], file["requested_magnitude"][:], strict=True))
    assert len(found) > 10
    assert found <= pairs


@pytest.mark.parametrize("prior", ["normal", "gmm"])
def test_python_ignores_no_condition(fitted, prior):
    run = galgen.load(fitted)
    with pytest.raises(ValueError, match=rf"magnitude: .*prior={prior} (does not know|knows) it"):
        run.sample(2, 0.5, prior, magnitude=22)
    assert run.sample(2, 0.5, prior, magnitude=None).shape == (2, 1, 32, 32)
    with pytest.raises(ValueError, match="magnitude is infinite"):
        run.sample(2, 0.5, "flow", magnitude=[22, np.inf])


def test_learned_conditions_that_nothing_knows_are_told_and_not_claimed(command, fitted):
    arguments = [f"run={fitted}", "n=3", "conditions=learned"]
    code, printed = command("generate", *arguments, "prior=gmm", "out=m.h5")
    assert code == 0, printed
    assert "conditions=learned draws redshift alone; neither the model nor prior=gmm" in printed
    with h5py.File("m.h5") as file:
        assert file.attrs["conditions"] == "learned: redshift"
        assert "requested_magnitude" not in file
    code, printed = command("generate", *arguments, "prior=flow", "out=n.h5")
    assert (code, "draws redshift alone" in printed) == (0, False)


def test_a_prior_knows_the_redshift_for_a_model_that_does_not(command, full, tmp_path):
    """Asked for or left out; the model's own encoder and decoder go without."""
    file = OmegaConf.load(full / "config.yaml").data.file
    data = ["data=mosaic", f"data.file={file}", "transform=none", "model.output=softplus"]
    run = train_once(tmp_path, *data, "model=vae")
    code, printed = fit(command, run, kinds=["flow"])
    assert code == 0, printed
    loaded = galgen.load(run)
    assert loaded.priors["flow"].conditions == ["redshift", "magnitude", "size"]
    near, far = (loaded.sample(4, redshift, "flow") for redshift in (0.2, 2.9))
    assert not np.array_equal(near, far)
    np.testing.assert_array_equal(loaded.sample(4, np.nan, "flow"), loaded.sample(4, None, "flow"))
    arguments = [f"run={run}", "prior=flow", "n=4", "out=m.h5"]
    code, printed = command("generate", *arguments, "redshift=0.2")
    assert code == 0, printed
    with h5py.File("m.h5") as made:
        np.testing.assert_array_equal(made["image"][:], near)
        assert made["redshift"][:] == pytest.approx(0.2)
    with pytest.raises(ValueError, match="redshift: prior=normal does not know it"):
        loaded.sample(4, 0.2, "normal")


def test_magnitudes_are_put_side_by_side(fitted):
    run = galgen.load(fitted)
    asked = {"redshift": 1.0, "magnitude": "21:24", "size": 0.3}
    figure = Samples(galaxies=[5, 2], steps=3, stretch="linear", priors=["flow"], **asked)
    axes = [axis for axis in figure.draw(run)["samples"].axes if axis.images]
    assert [axis.get_title() for axis in axes[:3]] == ["21 mag", "22.5 mag", "24 mag"]
    shown = axes[4].images[0].get_array()
    [expected] = run.sample(1, 1.0, "flow", start=2, magnitude=22.5, size=0.3)
    np.testing.assert_allclose(shown / shown.max(), expected[0] / expected.max(), atol=1e-5)


def test_the_survey_s_magnitudes_are_called_so(fitted):
    picture = Samples(n=2, redshift="survey", magnitude="survey", priors=["flow"])
    figure = picture.draw(galgen.load(fitted))["samples"]
    assert figure.get_suptitle() == "generated galaxies, prior: flow, magnitudes of the survey"
