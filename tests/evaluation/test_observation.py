"""What is compared with what: noise, PSFs, and the images on both sides."""

import numpy as np
import pytest

from galgen.data.surveys.cosmos_noise import cosmos_variance
from galgen.evaluation.observation import SURVIVING, Observation, edge_variance
from galgen.runs.trained_run import TrainedRun

RNG = np.random.default_rng(0)


@pytest.fixture
def run(simulated):
    return TrainedRun(simulated)


def test_the_scatter_of_the_edges_is_the_noise():
    images = RNG.normal(3, 0.5, (40, 64, 64))
    images[:, 20:40, 20:40] += 100
    assert edge_variance(images).mean() == pytest.approx(0.25, rel=0.05)


def test_noise_has_the_survey_s_variance_and_correlation(run):
    sigma = np.repeat([1.0, 3.0], 100)[:, None]
    noise = Observation(run).noise(sigma, seed=1)
    assert noise[:100].std() == pytest.approx(1, rel=0.02)
    assert noise[100:].std() == pytest.approx(3, rel=0.02)
    neighbours = (noise[:100, ..., 1:] * noise[:100, ..., :-1]).mean()
    assert neighbours == pytest.approx(0.48, abs=0.03)  # of the COSMOS mosaics
    np.testing.assert_array_equal(noise, Observation(run).noise(sigma, seed=1))
    assert not np.array_equal(noise, Observation(run).noise(sigma, seed=2))


def test_physical_galaxies_get_fresh_noise_of_the_test_galaxies(run):
    observation, positions = Observation(run), np.arange(50)
    light = np.zeros((50, 1, 32, 32), np.float32)
    seen = observation.generated(light, positions, seed=0)
    assert seen.var() == pytest.approx(cosmos_variance(), rel=0.05)
    np.testing.assert_allclose(
        observation.variance("test", positions), cosmos_variance(), rtol=1e-5
    )
    real = observation.real("test", positions)
    image = run.survey.stamps.read(run.survey.parts["test"].rows[positions], 32)
    np.testing.assert_allclose(real, image, rtol=1e-6)
    assert "fresh noise of the survey's correlation" in observation.what


def test_a_psf_free_model_s_galaxies_go_through_the_test_galaxies_psf(run):
    run.model.psf_free = True
    light = np.zeros((4, 1, 32, 32), np.float32)
    light[..., 16, 16] = 1000
    observation, positions = Observation(run), np.array([5, 0, 9, 9])
    seen = observation.generated(light, positions, seed=0)
    psfs = observation.psfs(positions)
    assert psfs.shape == (4, 1, 63, 63)
    np.testing.assert_allclose(seen[..., 8:25, 8:25], 1000 * psfs[..., 23:40, 23:40], atol=0.05)


def test_a_peak_model_is_compared_with_noiseless_images_normalised_alike(simulated):
    run = TrainedRun(simulated)
    run.facts["transform"] = {"name": "peak"}
    from galgen.data.transforms import Peak

    run.survey.transform = run.transform = Peak()
    observation, positions = Observation(run), np.array([3, 0])
    real = observation.real("test", positions)
    assert real.max(axis=(1, 2, 3)).tolist() == [1, 1]
    rows = run.survey.parts["test"].rows[positions]
    light = run.survey.stamps.read(rows, 32, "noiseless")
    level = run.survey.stamps.columns["background"][rows]
    above = np.clip(light - level[:, :, None, None], 0, None)
    np.testing.assert_allclose(real, above / above.max(axis=(1, 2, 3), keepdims=True), rtol=1e-5)
    assert observation.variance("test", positions) is None
    np.testing.assert_array_equal(observation.generated(real, positions, 0), real)
    usable = observation.usable("test")
    lit = observation.real("test", np.arange(200)).any(axis=(1, 2, 3))
    assert usable.tolist() == np.flatnonzero(lit).tolist()
    assert len(usable) < 200
    assert f"{200 - len(usable)} of 200 galaxies" in observation.notes[-1]
    del run.survey.stamps.stacks["noiseless"]
    noisy = Observation(run)
    assert noisy.statistics == noisy.core == SURVIVING
    assert not noisy.alike
    assert len(noisy.usable("test")) == 200
    np.testing.assert_allclose(
        noisy.real("test", positions), run.survey.batch("test", positions).image
    )


def test_a_survey_whose_noise_is_not_known_lends_that_of_its_edges(physical):
    run = TrainedRun(physical)
    observation, positions = Observation(run), np.arange(6)
    assert observation.variance("test", positions) is None
    light = np.zeros((6, 1, 32, 32), np.float32)
    seen = observation.generated(light, positions, seed=0)
    expected = edge_variance(observation.real("test", positions))
    np.testing.assert_allclose(seen.var(axis=(2, 3)), expected, rtol=0.2)
    assert "white noise" in observation.what
    assert "the noise is not known" in observation.notes[0]


def test_a_galaxy_of_unknown_noise_gets_that_of_its_partner_s_edge():
    observation = Observation.__new__(Observation)
    stamps = np.random.default_rng(0).normal(0, 2, (2, 1, 64, 64))
    observation.variance = lambda *_: np.array([[1.0], [np.nan]])
    observation.real = lambda *_: stamps
    observation.noise = lambda sigma, seed: sigma
    observation._masked = lambda images, *_: images
    found = observation.with_noise(np.zeros((2, 1)), np.arange(2), seed=0)
    assert found[:, 0].tolist() == pytest.approx([1, 2], rel=0.1)
