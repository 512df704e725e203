"""Run directories: names, facts, locks."""

import json

import pytest
from filelock import FileLock
from omegaconf import OmegaConf

from galgen.config.targets import instantiate
from galgen.errors import GalgenError
from galgen.runs.directory import Run
from galgen.runs.run_config import read_config, stored_form


def test_a_name_follows_from_the_content_alone(composed):
    def name(*overrides):
        return Run(composed(*overrides)).directory.name

    assert name() == name("run_root=elsewhere", "resume=never", "overwrite=true")
    assert name().startswith("simulated-cvae2-latent32-beta0.1-s0-")
    different = ["beta_schedule.beta=0.2", "seed=1", "model=vae", "data.batch_size=32"]
    assert len({name(), *(name(override) for override in different)}) == 5
    assert "-betatable-" in name("beta_schedule=table", "beta_schedule.values=[0.1]")


def test_a_file_gives_the_same_name_from_every_folder(composed, tmp_path, monkeypatch):
    one = Run(composed("data=cosmos", "data.file=survey.h5")).directory.name
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "deeper")
    assert Run(composed("data=cosmos", "data.file=../survey.h5")).directory.name != one
    two = Run(composed("data=cosmos", f"data.file={tmp_path / 'survey.h5'}")).directory.name
    assert two == one


def test_the_stored_config_is_resolved_and_enough_for_the_model(composed, tmp_path):
    run = Run(composed("model.width=4", f"run_root={tmp_path}"))
    with run.lock():
        run.remember({"survey": "simulated", "file": "x"})
    text = (run.directory / "config.yaml").read_text()
    assert "${" not in text
    config = read_config(run.directory)
    assert config.callbacks.best.dirpath == "./checkpoints"
    assert instantiate(config.model).latent_dim == 32
    run.check_config()


def test_a_config_with_a_foreign_class_is_refused(composed, tmp_path):
    config = stored_form(composed())
    config.model._target_ = "os.system"
    OmegaConf.save(config, tmp_path / "config.yaml")
    with pytest.raises(GalgenError, match="refused"):
        read_config(tmp_path)
    (tmp_path / "config.yaml").write_text("a: [")
    with pytest.raises(GalgenError, match="damaged"):
        read_config(tmp_path)


def test_facts_of_other_data_are_refused_but_a_moved_file_is_not(composed, tmp_path):
    run = Run(composed(f"run_root={tmp_path}"))
    with run.lock():
        run.remember({"survey": "a", "stamps": 3, "file": "x"})
        run.remember({"survey": "a", "stamps": 3, "file": "y", "squared_error_of_zero": 1.1})
        with pytest.raises(GalgenError, match="differs from that of"):
            run.remember({"survey": "a", "stamps": 4, "file": "x"})
    assert json.loads((run.directory / "data.json").read_text())["stamps"] == 3


def test_the_lock_keeps_others_out_and_leaves_no_empty_folder(composed, tmp_path):
    run = Run(composed(f"run_root={tmp_path}"))
    with run.lock(), pytest.raises(GalgenError, match="in use"), run.lock():
        pass
    assert not run.directory.exists()
    run.directory.mkdir()
    with FileLock(run.directory / ".lock"), pytest.raises(GalgenError, match="in use"), run.lock():
        pass
