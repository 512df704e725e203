"""Paths, names of runs and numbers of a command line, as a user writes them."""

import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser

from galgen.config.command_line import multirun_first, readable_by_hydra
from galgen.config.paths import fill_in
from galgen.config.rules import check_whole_numbers
from galgen.config.run_paths import locate
from galgen.config.wording import quoted
from galgen.data.stamp_writing import write_stamps
from galgen.errors import GalgenError
from galgen.files import cache_folder, expand, write_text
from galgen.runs.directory import Run
from tests.conftest import discs

WORDS = ["a/b.h5", "a b", "it's", "a,b", "x=(1)", "$HOME", "déjà"]


@pytest.mark.parametrize("written", ["~/{}", "$PLACE/{}", "${{PLACE}}/{}", "{}"])
@pytest.mark.parametrize(
    ("name", "arguments", "file", "says"),
    [
        ("describe", ["data.file=@"], "no.h5", "{}/no.h5: there is no such stamp file"),
        ("generate", ["run=@", "n=1", "out=a.h5"], "no", "run={}/no: there is no such run"),
        ("evaluate", ["@"], "no", "run={}/no: there is no such run"),
        ("fit_prior", ["run=@"], "no", "run={}/no: there is no such run"),
        ("plot", ["run=[@,@]"], "no", "run={}/no: there is no such run"),
        ("compare", ["run=[@]"], "no", "run={}/no: there is no such run"),
        ("report", ["run=@"], "no", "run={}/no: there is no such run"),
        ("export", ["run=run", "out=@"], "there", "out={}/there: this is a file"),
        ("import_weights", ["file=@"], "no.pt", "file={}/no.pt: there is no such file"),
        ("generate", ["run=run", "n=1", "out=@"], "there.h5", "out={}/there.h5: it exists"),
        ("train", ["init_from=@"], "no", "init_from={}/no: there is no such run"),
    ],
)
def test_every_path_may_have_a_home_or_a_variable(
    command, monkeypatch, tmp_path, written, name, arguments, file, says
):
    if name == "evaluate" and written.startswith("$"):
        arguments = ["run=@"]  # the shell fills in words
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", str(tmp_path))
    Path("run").mkdir()
    Path("run/config.yaml").write_text("a: 1")
    for there in ("there", "there.h5"):
        Path(there).write_text("")
    path = written.format(file)
    code, printed = command(name, *(argument.replace("@", path) for argument in arguments))
    assert code == 1
    place = str(tmp_path)
    relative = {"import_weights": place, "train": "."}.get(name, ".")
    wanted = says.format(place if written != "{}" else relative).replace("./", "")
    assert wanted in printed, printed


def test_run_root_is_filled_in(composed, monkeypatch, tmp_path):
    monkeypatch.setenv("PLACE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GALGEN_CACHE", "$PLACE/c")
    assert cache_folder() == tmp_path / "c"
    assert expand("~/a") == expand("${PLACE}/a") == tmp_path / "a"
    for written in ("~/r", "$PLACE/r", "${PLACE}/r"):
        assert readable_by_hydra([f"run_root={written}"]) == [f"run_root={tmp_path}/r"]
    assert readable_by_hydra(["seed=~a", "data.file='~/a b'"]) == ["seed=~a", "data.file='~/a b'"]
    assert Run(composed("run_root=$PLACE/r", "run_name=x")).directory == tmp_path / "r" / "x"


def test_a_pattern_needs_no_quotes():
    quoted = ['cutouts.images="a/{id}.fits"', 'cutouts.images={g: "{id}.fits"}', "seed={id: 1}"]
    assert readable_by_hydra(["cutouts.images=a/{id}.fits"]) == ["cutouts.images='a/{id}.fits'"]
    assert readable_by_hydra(quoted) == quoted


@pytest.mark.parametrize("value", ["$NOT_SET/a", "a/$NOT_SET"])
def test_a_variable_that_is_not_set_is_told(value, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(GalgenError, match=r"^out=.*variable NOT_SET is not set\. Set it"):
        fill_in("out", value)


def test_a_home_that_is_not_there_is_told():
    with pytest.raises(GalgenError, match="no such home folder"):
        fill_in("out", "~nobody_of_that_name/a")


def make_runs(*names: str) -> None:
    for number, name in enumerate(names):
        write_text(Path("runs") / name / "config.yaml", "a: 1")
        os.utime(Path("runs") / name / "config.yaml", (number, number))


def test_a_run_is_found_by_its_name_and_others_are_named():
    make_runs(*(f"r{number:02d}" for number in range(10)), "simulated-cvae2")
    assert locate("r03") == locate("runs/r03") == Path("runs/r03")
    assert locate("runs") == Path("runs")
    with pytest.raises(GalgenError) as error:
        locate("runs/simulated-cvae")
    assert str(error.value) == (
        "run=runs/simulated-cvae: there is no such run. Runs in runs: simulated-cvae2, r09, r08, "
        "r07, r06, r05, r04, r03 and 3 more."
    )
    with pytest.raises(GalgenError, match="Runs in runs: simulated-cvae2, r09"):
        locate("zzz")


@pytest.mark.parametrize(
    "name", ["evaluate", "fit_prior", "plot", "generate", "export", "report", "compare"]
)
def test_a_run_may_be_the_first_word(command, name):
    make_runs("here")
    more = ["n=1", "out=a.h5"] if name == "generate" else []
    code, printed = command(name, "her", *more)
    assert code == 1
    assert "run=her: there is no such run. Runs in runs: here." in printed


@pytest.mark.parametrize(("value", "whole"), [(1e4, 10_000), (7, 7), (2.0**53, 2**53)])
def test_numbers_that_are_whole_become_ints(composed, value, whole):
    config = composed("run=r", "out=o.h5", f"n={value!r}", name="generate")
    check_whole_numbers(config, {"n": 1})
    assert (type(config.n), config.n) == (int, whole)


@pytest.mark.parametrize("value", ["1e4.5", "1.5", "true", "1e30", "nan", "inf", "0"])
def test_others_are_refused(composed, value):
    config = composed("run=r", "out=o.h5", f"n={value}", name="generate")
    with pytest.raises(GalgenError, match=r"^n=.*whole number from 1"):
        check_whole_numbers(config, {"n": 1})


def survey_of(n: int, size: int, redshift: np.ndarray | None):
    block = {"image": discs(n, size), "galaxy_id": np.arange(n)}
    if redshift is not None:
        block["redshift"] = redshift
    return block


@pytest.mark.parametrize(
    ("n", "size", "redshift", "file"),
    [
        (30, 32, np.full(30, np.nan), "s.h5"),
        (30, 32, None, "a b/it's, (s).h5"),
        (100, 32, np.linspace(0.1, 1, 100), "s.h5"),
        (90, 32, np.where(np.arange(90) < 60, 0.5, np.nan), "s=1.h5"),
        (90, 32, np.where(np.arange(90) < 60, 0.5, -99), "s.h5"),
    ],
)
def test_the_training_command_that_is_printed_works(command, composed, n, size, redshift, file):
    from galgen.config.targets import instantiate
    from galgen.prepare import training_command

    Path("a b").mkdir()
    write_stamps(Path(file), [survey_of(n, size, redshift)], {"survey": "mosaic"})
    config = composed("data=mosaic", f"data.image_size={size}", name="prepare")
    config.data.file = file
    words = shlex.split(training_command(instantiate(config.data)))
    assert words[:3] == ["python", "-m", "galgen.train"]
    quick = ["trainer.max_epochs=1", "model.width=8", "prior=normal", "callbacks.progress=null"]
    code, printed = command("train", *words[3:], *quick, "trainer.accelerator=cpu")
    assert code == 0, printed


@pytest.mark.parametrize("text", [*WORDS, "several.h5[a]", "a/{id}.npz[sci]", 'say "a"'])
def test_a_shell_and_hydra_read_quoted_text_as_it_is(text):
    (word,) = shlex.split(f"key={quoted(text)}")
    assert OverridesParser.create().parse_override(word).value() == text


def test_the_option_of_a_sweep_may_stand_between_overrides():
    words = ["launcher=joblib", "-m", "seed=0,1"]
    read = get_args_parser().parse_args(multirun_first(words))
    assert (read.multirun, read.overrides) == (True, ["launcher=joblib", "seed=0,1"])
