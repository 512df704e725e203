"""A config that a test gets as a copy is the one that Hydra composes."""

import pytest
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from tests.compositions import STEPS

CHOICES = [
    ["data=cosmos"],
    ["data=cosmos", "data.image_size=48", "optimizer.lr=0.5"],
    ["experiment=demo", "logger=tensorboard", "prior=[flow,gmm]"],
    ["experiment=demo", "+callbacks.mine={_target_: a.b}", "~lr_schedule"],
    ["data=cosmos", "+launcher=joblib"],
    ["data=cosmos", "~optimizer"],
    ["data=cosmos", "~optimizer=sgd"],
    ["data=nowhere"],
    ["data=cosmos", "nothing=1"],
]


@pytest.fixture
def composed_anew(composed, monkeypatch):
    """Return a function that composes as Hydra does by itself."""

    def make(*overrides: str) -> DictConfig:
        with monkeypatch.context() as patch:
            for owner, name, _ in STEPS:
                patch.setattr(owner, name, getattr(owner, name).__wrapped__)
            return composed(*overrides)

    return make


def outcome(compose, overrides: list[str]) -> dict | str:
    """Return the config that overrides make, as a dictionary, or the message of Hydra's error."""
    try:
        return OmegaConf.to_container(compose(*overrides))
    except HydraException as error:
        return str(error)


@pytest.mark.parametrize("overrides", CHOICES, ids=" ".join)
def test_a_copy_is_what_hydra_composes(composed, composed_anew, overrides):
    anew = outcome(composed_anew, overrides)
    changed = outcome(composed, overrides)
    if isinstance(changed, dict):
        config = composed(*overrides)
        config.seed, config.model = 99, None
    assert [outcome(composed, overrides), changed] == [anew, anew]
