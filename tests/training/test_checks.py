"""What is checked before a training changes nothing, and happens before anything is written."""

import pytest
import torch

from galgen.config.targets import instantiate
from galgen.training.checks import check_fit, needs
from tests.conftest import only_run


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model=vae"], ()),
        (["model=cvae2"], ("redshift",)),
        (["model=residual_vae", "likelihood=noise_aware"], ("noise_variance",)),
        (["model=residual_cvae", "likelihood=noise_aware"], ("redshift", "noise_variance")),
    ],
)
def test_a_model_says_what_it_needs_of_every_galaxy(composed, overrides, expected):
    assert needs(instantiate(composed(*overrides, "model.width=4").model)) == expected


def test_checking_leaves_survey_and_model_as_they_are(composed, survey):
    config = composed("data=cosmos", f"data.file={survey}", "data.image_size=32", "model.width=4")
    config.data.batch_size = 16
    model, datamodule = instantiate(config.model), instantiate(config.data)
    datamodule.needs = needs(model)
    datamodule.setup()
    rows = {name: part.rows.copy() for name, part in datamodule.parts.items()}
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    attributes = set(vars(model)), set(vars(datamodule))
    check_fit(model, datamodule)
    assert (set(vars(model)), set(vars(datamodule))) == attributes
    assert all((datamodule.parts[name].rows == rows[name]).all() for name in rows)
    assert all(torch.equal(model.state_dict()[name], weights[name]) for name in weights)


def test_the_optimizer_is_made_once(command, small, monkeypatch):
    made, init = [], torch.optim.Adam.__init__

    def counted(self, *arguments, **options):
        made.append(self)
        init(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.Adam, "__init__", counted)
    code, printed = command("train", *small)
    assert code == 0, printed
    assert len(made) == 1
    assert len(made[0].state) == len(made[0].param_groups[0]["params"])  # and it made the steps


def test_an_optimizer_out_of_range_leaves_an_older_run_alone(command, small):
    command("train", *small, "run_name=old")
    again = [*small, "run_name=old", "overwrite=true", "optimizer.lr=-1"]
    code, printed = command("train", *again)
    assert (code, "Invalid learning rate" in printed) == (1, True)
    assert (only_run() / "DONE").exists()
