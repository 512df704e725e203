"""The recommended model on surveys that do not say all of their telescope."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from omegaconf import OmegaConf

from tests.conftest import NO_PICTURES, SIZE, discs


def write_survey(path: Path, *known: str) -> list[str]:
    """Write a survey of discs in counts/s, and give the overrides of a training on it."""
    rng, noise = np.random.default_rng(0), 0.01
    images = discs(60) + rng.normal(0, noise, (60, SIZE, SIZE)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["image"] = images[:, None]
        file["galaxy_id"] = np.arange(60)
        file.attrs.update({"galgen_schema": 2, "bands": ["F814W"], "unit": "counts/s"})
        if "noise" in known:
            file["noise_variance"] = np.full((60, 1), noise**2, np.float32)
        if "psf" in known:
            y, x = np.mgrid[-3:4, -3:4]
            psf = np.exp(-0.5 * (x**2 + y**2))
            file["psf_index"] = np.zeros(60, int)
            file["psf"] = (psf / psf.sum())[None, None].astype(np.float32)
        if "correlation" in known:
            file.attrs["noise_correlation"] = np.array([[[0, 0.2, 0], [0.2, 1, 0.2], [0, 0.2, 0]]])
    small = [
        "data.batch_size=16",
        "model.width=8",
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
        "prior=normal",
    ]
    return ["data=file", f"data.file={path}", "callbacks.progress=null", NO_PICTURES, *small]


@pytest.mark.parametrize(
    ("known", "psf_free", "likelihood"),
    [
        (("psf", "noise", "correlation"), True, "CorrelatedNoise"),
        (("psf", "noise"), True, "NoiseAware"),
        (("noise", "correlation"), False, "CorrelatedNoise"),
        (("psf",), True, "LearnedSigma"),
        ((), False, "LearnedSigma"),
    ],
)
def test_a_survey_rules_out_what_it_does_not_know(command, tmp_path, known, psf_free, likelihood):
    code, printed = command("train", *write_survey(tmp_path / "s.h5", *known), "run_name=r")
    assert code == 0, printed
    config = OmegaConf.load("runs/r/config.yaml")
    assert config.model.psf_free is psf_free
    assert config.likelihood._target_.endswith(likelihood)
    assert ("has no PSFs" in printed) is not psf_free
    assert ("(likelihood=noise_aware)" in printed) is (likelihood != "CorrelatedNoise")
    assert ("(likelihood=learned_sigma)" in printed) is (likelihood == "LearnedSigma")
    code, printed = command("train", *write_survey(tmp_path / "s.h5", *known), "run_name=r")
    assert (code, "already finished" in printed) == (0, True)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("model.psf_free=true", "PSF"),
        ("likelihood=correlated_noise", "does not say how its noise is correlated"),
        ("likelihood=noise_aware", "noise variance"),
    ],
)
def test_what_the_user_chose_is_refused_instead(command, tmp_path, chosen, said):
    code, printed = command("train", *write_survey(tmp_path / "s.h5"), chosen)
    assert code == 1
    assert said in printed
