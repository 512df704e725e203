"""What Lightning trains: checkpoints have the model's names, and moments lie as weights do."""

import pytest
import torch
from torch import nn

from galgen.errors import GalgenError
from galgen.models.vae import VAE
from galgen.training.memory_format import choose_memory_format
from galgen.training.model_training import ModelTraining
from tests.conftest import trained_weights


def test_checkpoints_have_the_names_of_the_model():
    model = VAE(image_size=32, width=4, latent_dim=2)
    model.model = nn.Linear(2, 2)  # a part whose name is the one under which the training has it
    model.encoder.model = nn.Linear(3, 3)
    training = ModelTraining(model)
    state = training.state_dict()
    assert list(state) == list(model.state_dict())
    other = VAE(image_size=32, width=4, latent_dim=2)
    other.model, other.encoder.model = nn.Linear(2, 2), nn.Linear(3, 3)
    ModelTraining(other).load_state_dict(state)
    for name, value in other.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_an_average_of_a_training_has_them_too():
    training = ModelTraining(VAE(image_size=32, width=4, latent_dim=2))
    average = torch.optim.swa_utils.AveragedModel(training)
    names = [f"module.{name}" for name in training.model.state_dict()]
    assert [name for name in average.state_dict() if name != "n_averaged"] == names
    average.load_state_dict(average.state_dict())


@pytest.mark.parametrize("name", ["training_step", "configure_optimizers"])
def test_steps_that_nobody_would_take_are_refused(name):
    own = type("Own", (VAE,), {name: lambda *_: None})
    with pytest.raises(GalgenError, match=f"nobody calls its {name}"):
        ModelTraining(own(image_size=32, width=4))


def test_a_training_goes_on_in_another_memory_format(command, small, monkeypatch, pulling_the_plug):
    """The moments of a checkpoint lie in memory as the weights of where it was written."""
    words = [*small, "model.norm=group", "trainer.precision=bf16-mixed", "optimizer=adamw"]
    monkeypatch.setattr("galgen.training.fit.choose_memory_format", lambda *_: None)
    assert command("train", *words, "run_name=whole")[0] == 0
    with pulling_the_plug(6):
        assert command("train", *words, "run_name=cut")[0] == 1
    monkeypatch.setattr("galgen.training.fit.choose_memory_format", choose_memory_format)
    code, printed = command("train", *words, "run_name=cut")
    assert code == 0, printed
    whole, cut = (trained_weights(path) for path in ("runs/whole", "runs/cut"))
    for name, weights in whole.items():
        if not name.endswith("bias"):  # some have no gradient but rounding
            torch.testing.assert_close(cut[name], weights, rtol=0.05, atol=3e-4)
