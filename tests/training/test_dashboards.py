"""The W&B workspace and the sweep file: what they name is what runs log and take."""

import re
from pathlib import Path

import pytest
import yaml

from galgen.runs.directory import Run
from galgen.training.tracking import flat_config

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style")  # of wandb-workspaces

SWEEP = Path(__file__).parents[2] / "experiments" / "wandb" / "sweep.yaml"


@pytest.fixture
def spec() -> str:
    """Build the workspace as it would be sent, in JSON."""
    pytest.importorskip("wandb_workspaces")
    from experiments.wandb.workspace import build

    return build("me", "galaxies")._to_model().model_dump_json(by_alias=True, exclude_none=True)


def test_the_workspace_names_configs_that_runs_log(spec, composed):
    config = composed("logger=wandb")
    Run(config)
    named = set(re.findall(r'"config:([^"]+)\.value"', spec))
    assert {"beta_schedule/beta", "model/latent_dim", "optimizer/lr", "seed"} <= named
    assert named <= flat_config(config).keys()


def test_the_workspace_has_the_panels_of_a_beta_sweep(spec):
    assert re.search(r'"groupBy":"beta_schedule/beta.value"', spec)
    for key in ("val/loss", "val/reconstruction", "val/kl", "images_per_second"):
        assert f'"metrics":["{key}"]' in spec
    assert '"xAxis":"summary:best/val/reconstruction","yAxis":"summary:best/val/kl"' in spec
    for key in ("pictures/reconstruction", "pictures/samples", "evaluation/statistics"):
        assert f'"mediaKeys":["{key}"]' in spec
    assert "evaluation/flow/mean_w1" in spec
    assert "system/gpu.0.gpu" in spec


@pytest.mark.parametrize("position", [0, -1])
def test_the_command_of_the_sweep_file_composes(composed, position):
    sweep = yaml.safe_load(SWEEP.read_text())
    trial = {name: taken["values"][position] for name, taken in sweep["parameters"].items()}
    command = sweep["command"]
    assert command[:4] == ["${env}", "${interpreter}", "-m", "galgen.train"]
    place = command.index("${args_no_hyphens}")
    given = [f"{name}={value}" for name, value in trial.items()]
    config = composed(*command[4:place], *given, *command[place + 1 :])
    assert config.beta_schedule.beta == trial["beta_schedule.beta"]
    assert (config.model.name, config.seed) == (trial["model"], trial["seed"])
    assert config.logger.project == sweep["project"]
