"""The same sky in other units is the same survey: losses, priors and galaxies."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import galgen
from galgen.config.paths import CONF
from galgen.config.targets import instantiate
from galgen.data.noise_correlation import without_correlation
from galgen.data.noise_level import noise_level
from galgen.data.stamp_file import StampFile
from galgen.data.stamp_writing import write_stamps
from galgen.errors import GalgenError
from galgen.evaluation.morphology.measure import measure
from galgen.priors import fitted as fitted_priors
from galgen.training.checks import check_fit, needs
from galgen.training.model_training import ModelTraining
from tests.conftest import discs, run_command, train_once

UNITS = {"uJy": 1.0, "nJy": 1e3, "W/m2/Hz": 1e-32, "erg/s/cm2/A": 1e-20}
SIGMA = 0.02
"""Noise, in the first unit."""
MODELS = sorted(p.stem for p in (CONF / "model").glob("[!_]*.yaml"))
PHYSICAL = ("residual", "galaxy")
"""How the names of models of physical units begin."""
LIKELIHOODS = sorted(p.stem for p in (CONF / "likelihood").glob("*.yaml"))
TRANSFORMS = sorted(p.stem for p in (CONF / "transform").glob("*.yaml"))
KNOWN_NOISE = ("noise_aware", "correlated_noise")
KEPT = {(t, n) for t in TRANSFORMS for n in LIKELIHOODS} - {("asinh", n) for n in KNOWN_NOISE}
COMBINATIONS = [
    *((model, "peak", "squared_error") for model in MODELS if not model.startswith(PHYSICAL)),
    *(("residual_cvae", *pair) for pair in sorted(KEPT)),
    ("residual_vae", "none", "noise_aware"),
    ("galaxy_vae", "none", "correlated_noise"),
]


def sky(path: Path, unit: float, size: int = 32, n: int = 60, known: bool = True) -> Path:
    """Write galaxies of peaks 0.3 to 10 in white noise, with redshifts and a PSF, in a unit."""
    rng = np.random.default_rng(0)
    light = discs(n, size) * np.geomspace(0.3, 10, n, dtype="f4")[:, None, None]
    image = (light + rng.normal(0, SIGMA, light.shape)) * unit
    block = {"image": image.astype("f4"), "redshift": np.linspace(0.1, 2, n)}
    if known:
        block["noise_variance"] = np.full(n, (SIGMA * unit) ** 2)
        block["background"] = np.full(n, SIGMA * unit)
    attrs = {"survey": "mine", "pixel_scale": 0.05, "noise_correlation": without_correlation(1)}
    write_stamps(path, [block], attrs)
    with h5py.File(path, "a") as file:
        file["psf"], file["psf_index"] = np.full((1, 1, 3, 3), 1 / 9, "f4"), np.zeros(n, int)
    return path


def losses(composed, file: Path, model: str, transform: str, likelihood: str) -> list[float]:
    """Take three steps of a training; return the losses."""
    overrides = [f"model={model}", "data=mosaic", f"transform={transform}", "model.width=4"]
    overrides += [f"likelihood={likelihood}", f"data.file={file}", "data.batch_size=16"]
    overrides += [f"data.image_size={sized(model)}"]
    overrides += [f"model.latent_dim={80 if model == 'galaxy_vae' else 3}"]
    if model.startswith(PHYSICAL):
        overrides += [f"model.flux_scale={3.0 if transform == 'none' else 0.01}"]
    config = composed(*overrides)
    survey, network = instantiate(config.data), instantiate(config.model)
    survey.needs = needs(network)
    survey.setup()
    torch.manual_seed(0)
    network = instantiate(config.model)
    training = ModelTraining(network)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    batch, found = survey.first("train", 16), []
    for step in range(3):
        noise = training.noise(batch, training.generator(step))
        loss = network.loss(batch, 1.0, noise).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss))
    return found


def sized(model: str) -> int:
    return {"vae128": 128, "vae": 32}.get(model, 32 if model.startswith(PHYSICAL) else 158)


@pytest.mark.parametrize(("model", "transform", "likelihood"), COMBINATIONS)
def test_a_training_has_the_same_losses_in_any_unit(
    composed, tmp_path, model, transform, likelihood
):
    found = {
        name: losses(
            composed,
            sky(tmp_path / f"{number}.h5", unit, sized(model), 24),
            *(model, transform, likelihood),
        )
        for number, (name, unit) in enumerate(UNITS.items())
    }
    assert np.isfinite(found["uJy"]).all()
    for name in UNITS:
        np.testing.assert_allclose(found[name], found["uJy"], rtol=1e-3, err_msg=name)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> dict[str, Path]:
    """Train a model and fit every prior, in two units."""
    found = {}
    for name in ("uJy", "erg/s/cm2/A"):
        folder = tmp_path_factory.mktemp("units")
        file = sky(folder / "sky.h5", UNITS[name], n=120)
        data = ["data=mosaic", f"data.file={file}", "transform=none", "model=residual_cvae"]
        run = train_once(folder, *data, "likelihood=noise_aware", "seed=3")
        small = ["flow.max_epochs=5", "flow.batch_size=32", "flow.width=8", "gmm.components=2"]
        small += ["two_stage.max_epochs=5", "two_stage.batch_size=32"]
        words = ["prior=[flow,gmm,two_stage]", *(f"prior.{word}" for word in small)]
        run_command("fit_prior", f"run={run}", "device=cpu", *words)
        found[name] = run
    return found


@pytest.mark.parametrize("kind", ["flow", "gmm", "two_stage"])
def test_a_prior_costs_the_same_in_any_unit(fitted, kind):
    cost, other = (fitted_priors.read(run, kind)[1]["val_nll"] for run in fitted.values())
    assert cost == pytest.approx(other, rel=1e-2)


def test_galaxies_are_generated_and_reconstructed_in_the_survey_s_unit(fitted):
    run, small = map(galgen.load, fitted.values())
    factor = UNITS["erg/s/cm2/A"]
    for images, others in (
        (run.sample(4, 0.5, "normal"), small.sample(4, 0.5, "normal")),
        (run.reconstruct(discs(4), 0.5), small.reconstruct(discs(4) * np.float32(factor), 0.5)),
    ):
        assert images.max() > 10 * SIGMA
        np.testing.assert_allclose(others / factor, images, rtol=1e-2, atol=1e-3 * images.max())


@pytest.mark.parametrize("transform", ["none", "asinh"])
def test_a_scale_that_is_too_large_is_mended_by_what_is_not_done_yet(composed, tmp_path, transform):
    data = ["data=mosaic", f"data.file={sky(tmp_path / 's.h5', 1.0)}", f"transform={transform}"]
    data += ["data.image_size=32", "data.batch_size=16"]
    config = composed(*data, "model=residual_vae", "model.flux_scale=1e3")
    survey = instantiate(config.data)
    survey.setup()
    with pytest.raises(GalgenError, match=r"Use .*model\.flux_scale=") as error:
        check_fit(instantiate(config.model), survey)
    assert ("Use transform=none" in str(error.value)) == (transform == "asinh")


@pytest.mark.parametrize("unit", UNITS.values())
def test_half_precision_holds_images_in_any_unit(composed, tmp_path, unit):
    data = ["data=mosaic", f"data.file={sky(tmp_path / 's.h5', unit)}", "data.batch_size=16"]
    data.append("data.image_size=32")
    images = []
    for kind in ("float32", "float16"):
        survey = instantiate(composed(*data, "transform=none", f"data.cache_dtype={kind}").data)
        survey.setup()
        images.append(survey.first("train", 40).image)
    assert images[0].max() > 100
    torch.testing.assert_close(images[1], images[0], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("unit", UNITS.values())
def test_the_noise_of_a_survey(tmp_path, unit):
    for known in (True, False):
        stamps = StampFile(sky(tmp_path / f"{known}.h5", unit, known=known))
        level = noise_level(stamps, np.arange(len(stamps)), 32)
        assert level == pytest.approx(SIGMA * unit, rel=0.05)


def test_a_survey_without_noise_has_a_share_of_its_peaks(tmp_path):
    write_stamps(tmp_path / "s.h5", [{"image": 7 * discs(20)}], {})
    level = noise_level(StampFile(tmp_path / "s.h5"), np.arange(20), 32)
    assert level == pytest.approx(0.003 * 7, rel=1e-5)
    write_stamps(tmp_path / "s.h5", [{"image": 0 * discs(20)}], {})
    with pytest.raises(GalgenError, match="hold no light"):
        noise_level(StampFile(tmp_path / "s.h5"), np.arange(20), 32)


def test_the_noise_of_a_survey_whose_stamps_are_mostly_empty(tmp_path):
    light = 7 * discs(20)
    light[:15] = 0
    write_stamps(tmp_path / "s.h5", [{"image": light}], {})
    level = noise_level(StampFile(tmp_path / "s.h5"), np.arange(20), 32)
    assert level == pytest.approx(0.003 * 7, rel=1e-5)


def test_pixels_of_weight_zero_have_no_part_in_noise_and_baseline(composed, tmp_path):
    rng = np.random.default_rng(0)
    image = (discs(60) + rng.normal(0, SIGMA, (60, 32, 32))).astype("f4")
    weight = np.ones_like(image)
    weight[:, :4] = 0
    image[:, :4] = 1e5
    write_stamps(tmp_path / "s.h5", [{"image": image, "weight": weight}], {})
    data = ["data=mosaic", "transform=none", f"data.file={tmp_path / 's.h5'}"]
    survey = instantiate(composed(*data, "data.image_size=32", "data.batch_size=16").data)
    survey.setup()
    assert survey.transform.scale == pytest.approx(SIGMA, rel=0.2)
    batch = survey.first("val", 6)
    square = (batch.image.double().square() * batch.weight).sum() / 6
    assert survey.facts()["squared_error_of_zero"]["val"] == pytest.approx(float(square))
    assert survey.value_range[1] < 2 / SIGMA


@pytest.mark.parametrize("mark", [-99.0, np.nan])
def test_a_mark_of_unknown_noise_is_no_noise_of_zero(composed, tmp_path, mark):
    block = {"image": discs(60), "noise_variance": np.where(np.arange(60) % 2, mark, 1e-4)}
    write_stamps(tmp_path / "s.h5", [block], {})
    data = ["data=mosaic", "transform=none", f"data.file={tmp_path / 's.h5'}"]
    survey = instantiate(composed(*data, "data.image_size=32", "data.batch_size=16").data)
    survey.setup()
    batch = survey.first("train", 40)
    known = batch.noise_variance[batch.index % 2 == 0]
    assert known.isfinite().all()
    assert batch.noise_variance[batch.index % 2 == 1].isnan().all()


@pytest.mark.parametrize("unit", UNITS.values())
def test_morphology_is_the_same_in_any_unit(unit):
    image = np.random.default_rng(0).normal(0, SIGMA, (3, 64, 64)) + 5 * discs(3, 64)
    found = measure(image * unit, 0.05, noise_variance=(SIGMA * unit) ** 2)
    expected = measure(image, 0.05, noise_variance=SIGMA**2)
    assert np.isfinite(expected["gini"]).all()
    for name, values in expected.items():
        factor = unit if name == "flux" else 1
        np.testing.assert_allclose(found[name], values * factor, rtol=1e-3, err_msg=name)
