"""trainer.precision=auto: decided once, kept in the run, the same after a resume."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from galgen.training import precision
from tests.conftest import assert_same_training, only_run


@pytest.mark.parametrize(("speed_up", "chosen"), [(2.0, "bf16-mixed"), (1.0, "32-true")])
def test_it_is_what_the_processor_computes_faster(command, small, monkeypatch, speed_up, chosen):
    monkeypatch.setattr(precision, "speed_up", lambda: speed_up)
    code, printed = command("train", *small, "trainer.precision=auto")
    assert code == 0, printed
    assert f"trainer.precision=auto: {chosen}, kept in the run" in printed
    assert OmegaConf.load(only_run() / "config.yaml").trainer.precision == chosen


def test_a_run_keeps_its_precision(command, small, monkeypatch, pulling_the_plug):
    words = [*small, "trainer.precision=auto"]
    monkeypatch.setattr(precision, "speed_up", lambda: 2.0)
    assert command("train", *words, "run_name=whole")[0] == 0
    with pulling_the_plug(5):
        assert command("train", *words, "run_name=cut")[0] == 1
    monkeypatch.setattr(precision, "speed_up", lambda: 1.0)  # another machine
    code, printed = command("train", *words, "run_name=cut")
    assert code == 0, printed
    assert "kept in the run" not in printed
    assert_same_training(Path("runs/whole"), Path("runs/cut"))
    code, printed = command("train", *words, "run_name=whole")
    assert code == 0, printed


def test_several_processes_do_not_choose_each_for_itself(command, small):
    words = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]
    code, printed = command("train", *small, *words, "trainer.precision=auto")
    assert code == 1
    assert "trainer.precision=auto: several processes might choose differently" in printed
    assert not Path("runs").exists()


def test_the_speed_of_bfloat16_is_measured():
    assert 0.01 < precision.speed_up() < 100
