"""A model whose light has finer pixels than its survey."""

import galsim
import h5py
import numpy as np
import pytest
import torch

import galgen
from galgen.evaluation.observation import Observation
from tests.conftest import gaussian, train_once

N = 3


@pytest.fixture(scope="module")
def run(tmp_path_factory, survey_with_psfs):
    """Train with two pixels of light along the side of one of the survey's."""
    folder = tmp_path_factory.mktemp("oversampled")
    data = ["data=mosaic", f"data.file={survey_with_psfs}"]
    model = ["model=galaxy_vae", "model.latent_dim=80", "model.oversampling=2"]
    return galgen.load(train_once(folder, *data, *model))


def test_public_images_have_the_survey_s_pixels(run):
    latent = np.random.default_rng(0).standard_normal((N, 80)).astype("f4")
    light, images = run.light(latent), run.decode(latent)
    assert light.shape == (N, 1, 64, 64)
    assert images.shape == (N, 1, 32, 32)
    block = light[1, 0, 10:12, 20:22].sum()
    assert images[1, 0, 5, 10] == pytest.approx(block, rel=1e-6)
    assert run.light_scale == run.pixel_scale / 2


def catalogue(command, run, *arguments):
    code, printed = command("generate", f"run={run.directory}", f"n={N}", "out=c.h5", *arguments)
    assert code == 0, printed
    with h5py.File("c.h5") as file:
        return file["image"][:], file["flux"][:], file["flux_radius"][:], dict(file.attrs)


def test_a_catalogue_says_whose_pixels_it_has(command, run):
    light, flux, radius, attributes = catalogue(command, run)
    assert light.shape == (N, 1, 64, 64)
    assert attributes["pixel_scale"] == run.light_scale
    assert light.sum(axis=(1, 2, 3)) == pytest.approx(flux, rel=1e-5)
    seen = catalogue(command, run, "psf=survey", "overwrite=true")
    assert seen[0].shape == (N, 1, 32, 32)
    assert seen[3]["pixel_scale"] == run.pixel_scale
    np.testing.assert_allclose(seen[1], flux)
    np.testing.assert_allclose(seen[2], radius)
    noisy = catalogue(command, run, "noise=survey", "overwrite=true")
    assert noisy[0].shape == (N, 1, 32, 32)


def test_galsim_sees_what_the_model_s_telescope_sees(run):
    """The PSF is wide beside the light's pixels, since GalSim interpolates between these."""
    batch = run.survey.batch("test", np.arange(N))
    batch.psf = torch.from_numpy(gaussian(2.0, side=31)).expand(N, 1, -1, -1)
    light = run.make(N, {}, "normal", 0, 0)
    seen = run.model.observe(torch.from_numpy(light), batch).numpy()
    objects = galgen.galsim_objects(run, n=N, prior="normal")
    psf = galsim.Gaussian(sigma=2.0 * run.pixel_scale)
    middle = (slice(8, 24), slice(8, 24))  # galsim takes it to be dark beyond the edges
    for galaxy, expected in zip(objects, seen[:, 0], strict=True):
        assert galaxy.smallest_scale == run.pixel_scale
        drawn = galsim.Convolve(galaxy, psf).drawImage(
            nx=32, ny=32, scale=run.pixel_scale, method="no_pixel"
        )
        difference = np.abs(drawn.array - expected)[middle].max()
        assert difference < 0.01 * expected.max()


def test_evaluation_sees_it_through_the_test_galaxies_psfs(run):
    positions = np.arange(N)
    light = run.make(N, {}, "normal", 0, 0)
    observation = Observation(run)
    noise = observation.noise(np.sqrt(observation.variance("test", positions)), seed=1)
    found = observation.generated(light, positions, seed=1) - noise
    batch = run.survey.batch("test", positions)
    expected = run.model.observe(torch.from_numpy(light), batch).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())


def test_finer_light_needs_a_model_in_front_of_the_telescope(command):
    code, printed = command(
        "train", "model=galaxy_vae", "model.psf_free=false", "model.oversampling=2"
    )
    assert code == 1
    assert "oversampling=2" in printed
