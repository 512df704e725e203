"""The five original models: galgen's agree with their recorded outputs."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from galgen.models.cvae import CVAE
from galgen.models.cvae2 import CVAE2
from galgen.models.fancy_cvae import FancyCVAE
from galgen.models.networks import Original
from galgen.models.posterior import kl_to_standard_normal
from galgen.models.vae import VAE

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"
pytestmark = pytest.mark.skipif(not REFERENCE.exists(), reason="needs ../shared/reference")

MODELS = {
    "vae128": lambda: VAE(image_size=128, network=Original(code_kernel=5)),
    "vae158": lambda: VAE(image_size=158),
    "cvae": lambda: CVAE(image_size=158),
    "cvae2": lambda: CVAE2(image_size=158),
    "fancy_cvae": lambda: FancyCVAE(image_size=158),
}


def reference_inputs():
    spec = importlib.util.spec_from_file_location("inputs", REFERENCE / "reference_inputs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", MODELS)
def test_outputs_agree_with_the_original_models(name, mode):
    inputs = reference_inputs()
    shapes = json.loads((REFERENCE / "reference_state_dict.json").read_text())[name]
    model = MODELS[name]()
    model.load_state_dict(inputs.fill_state_dict(shapes), strict=True)
    model.train(mode == "train")
    image, redshift = inputs.images(model.image_size)[:, None], inputs.REDSHIFTS
    outputs = np.load(REFERENCE / "reference_outputs.npz")
    expected = {k.split("/")[-1]: outputs[k] for k in outputs if k.startswith(f"{name}/{mode}/")}
    assert len(expected) >= 5

    with torch.no_grad():
        q = model.encode(image, redshift)
        if name == "fancy_cvae":
            reconstruction, predicted = model.predict(q.mean, redshift)
            np.testing.assert_allclose(predicted, expected["redshift"], rtol=1e-4, atol=1e-6)
            error = (predicted - redshift).square().sum()
            np.testing.assert_allclose(error, expected["redshift_squared_error_sum"], rtol=1e-4)
        else:
            reconstruction = model.decode(q.mean, redshift)

    np.testing.assert_allclose(q.mean, expected["mu"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(q.stddev, expected["std"], rtol=1e-4)
    every_fourth = reconstruction[:2, 0, ::4, ::4]
    np.testing.assert_allclose(
        every_fourth, expected["reconstruction_every_4th_pixel"], rtol=1e-4, atol=1e-6
    )
    total = (reconstruction - image).square().sum()
    np.testing.assert_allclose(total, expected["squared_error_sum"], rtol=1e-4)
    np.testing.assert_allclose(kl_to_standard_normal(q).sum(), expected["kl_sum"], rtol=1e-4)
