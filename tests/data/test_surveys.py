"""A survey is one YAML: any stamp file, with its pixel scale, and a hint where it is missing."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

import galgen
from galgen.config.targets import instantiate
from galgen.data.stamp_writing import write_stamps
from galgen.runs.directory import Run
from galgen.runs.run_config import content_name
from tests.conftest import discs, only_run

MINE = """
defaults: [_survey, _self_]
name: mine
file: mine.h5
image_size: 32
pixel_scale: 0.2
hint: Ask a colleague
"""
TINY = ["model=vae", "model.width=4", "trainer.max_epochs=1", "callbacks.progress=null"]


@pytest.fixture
def stamps() -> Path:
    """A stamp file of 80 stamps of 40 px, with a pixel scale."""
    write_stamps(Path("any.h5"), [{"image": discs(80, 40)}], {"pixel_scale": 0.1})
    return Path("any.h5")


def test_any_stamp_file_is_trained_on_in_its_own_size(command, stamps):
    code, printed = command("train", "data=file", f"data.file={stamps}", *TINY)
    assert code == 0, printed
    config = OmegaConf.load(only_run() / "config.yaml")
    assert config.data.image_size == config.model.image_size == 40
    run = galgen.load(only_run())
    assert run.sample(2).shape == (2, 1, 40, 40)
    assert run.pixel_scale == 0.1


def test_any_stamp_file_is_cropped_where_that_is_requested(command, stamps):
    code, printed = command(
        "train", "data=file", f"data.file={stamps}", "data.image_size=32", *TINY
    )
    assert code == 0, printed
    assert galgen.load(only_run()).sample(2).shape == (2, 1, 32, 32)


@pytest.mark.usefixtures("forked_jobs")
def test_jobs_of_a_sweep_take_the_size_of_the_file(command, stamps):
    sweep = ["-m", "data=file", f"data.file={stamps}", "seed=0,1", *TINY]
    code, printed = command("train", *sweep)
    assert code == 0, printed
    configs = [OmegaConf.load(path) for path in Path("runs").glob("*/config.yaml")]
    assert [config.model.image_size for config in configs] == [40, 40]


@pytest.mark.parametrize("name", ["train", "describe"])
def test_a_stamp_file_that_is_not_given_or_not_there(command, name):
    code, printed = command(name, "data=file")
    assert (code, printed) == (
        1,
        "galgen: missing: data.file (stamp file). Give each as key=value.\n",
    )
    code, printed = command(name, "data=file", "data.file=typo.h5")
    assert code == 1
    assert "typo.h5: there is no such" in printed
    assert not Path("runs").exists()


def test_cutouts_that_are_not_prepared_say_how(command):
    code, printed = command("train", "data=cutouts", "data.file=typo.h5")
    assert code == 1
    assert "typo.h5: there is no such stamp file" in printed
    assert "galgen.prepare data=cutouts cutouts.images=" in printed


def test_the_size_of_the_stamps_is_taken_where_none_is_given(composed, stamps):
    survey = instantiate(composed("data=file", f"data.file={stamps}").data)
    survey.setup()
    assert survey.image_size == 40
    assert survey.first("val", 2).image.shape == (2, 1, 40, 40)


def test_a_simulated_survey_needs_a_size(command):
    code, printed = command("train", "data=simulated", "data.image_size=null")
    assert code == 1
    assert "image_size" in printed
    assert "Traceback" not in printed


def test_what_cannot_be_prepared_says_so(command):
    code, printed = command("prepare", "data=file", "data.file=any.h5")
    assert code == 1
    assert "data=file: galgen cannot prepare this survey" in printed


def test_a_survey_of_one_s_own_is_one_yaml(command):
    folder = Path("groups/data")
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(MINE)
    words = ["--config-dir", "groups", "data=mine", *TINY]
    code, printed = command("train", *words)
    assert code == 1
    assert "mine.h5: there is no such stamp file. Ask a colleague.\n" in printed
    write_stamps(Path("mine.h5"), [{"image": discs(80)}], {})
    code, printed = command("train", *words)
    assert code == 0, printed
    assert only_run().name.startswith("mine-vae-")
    assert galgen.load(only_run()).pixel_scale == 0.2


def test_a_hint_is_no_part_of_what_a_run_is(composed):
    one, other = composed("data=cosmos"), composed("data=cosmos", "data.hint=Another")
    assert content_name(Run(one).config) == content_name(Run(other).config)


def test_a_pixel_scale_is_positive(composed):
    with pytest.raises(Exception, match=r"data\.pixel_scale=-1"):
        instantiate(composed("data=cosmos", "data.pixel_scale=-1").data)
