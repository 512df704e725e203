"""Posteriors of redshift, magnitude and size: calibration, tables, and stamps that are given."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from astropy.table import Table
from scipy.stats import norm

import galgen
from galgen.catalogues.posterior_table import density, summarise
from galgen.data.stamp_writing import write_stamps
from galgen.errors import GalgenError
from galgen.evaluation.redshift_scores import calibration, scores
from galgen.priors.condition_posterior import ConditionPosterior, Seen
from galgen.runs.given_stamps import GivenStamps
from galgen.runs.seen_galaxies import fitted_fluxes
from tests.conftest import discs


def correlated(n: int, seed: int) -> tuple[Seen, np.ndarray]:
    """Draw galaxies whose redshift is a latent number with noise of 0.3, and magnitude a colour."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, 3)).astype("f4")
    bright, colour = 5 + rng.standard_normal(n), rng.standard_normal(n)
    redshift = 5 + latent[:, 0] + 0.3 * rng.standard_normal(n)
    magnitude = np.where(rng.random(n) < 0.1, np.nan, 22 + colour)
    flux = np.sinh(np.stack([bright, bright + colour], axis=1)).astype("f4")
    seen = Seen(torch.from_numpy(latent), torch.from_numpy(flux))
    return seen, np.stack([redshift, magnitude], axis=1)


@pytest.fixture(scope="module")
def learned() -> ConditionPosterior:
    posterior = ConditionPosterior(3, 2, ["redshift", "magnitude"])
    posterior.fit(correlated(6000, 0), correlated(1000, 1), 0)
    return posterior


def test_posteriors_are_those_of_a_linear_gaussian_model(learned):
    test, conditions = correlated(2000, 2)
    latent = test.latent[:, 0].numpy()
    middle = np.abs(latent) < 1.5
    grid = np.linspace(1.5, 8.5, 1001)
    found = learned.distribution("redshift", test, grid)
    truth = norm.cdf(grid, 5 + latent[:, None], 0.3)
    assert np.abs(found - truth)[middle].max() < 0.3
    assert np.abs(found - truth)[middle].mean() < 0.012
    columns = summarise("redshift", grid, found)
    error = columns["redshift_mean"][middle] - 5 - latent[middle]
    assert np.abs(error).mean() < 0.08
    width = (columns["redshift_p84"] - columns["redshift_p16"])[middle]
    np.testing.assert_allclose(np.median(width), 0.6, rtol=0.15)
    pit = learned.distribution("redshift", test, conditions[:, :1])[:, 0]
    assert 0.64 < calibration(pit)["coverage_68"] < 0.72
    densities = density(grid, found)
    np.testing.assert_allclose(np.trapezoid(densities, grid, axis=1), 1)


def test_colours_tell_what_latents_do_not_and_unknown_values_do_not_spoil_it(learned):
    test, conditions = correlated(500, 3)
    grid = np.linspace(19, 25, 201)
    found = learned.distribution("magnitude", test, grid)
    mean = summarise("magnitude", grid, found)["magnitude_mean"]
    known = np.isfinite(conditions[:, 1])
    assert np.corrcoef(mean[known], conditions[known, 1])[0, 1] > 0.97


def test_galaxies_of_other_colours_are_found(learned):
    test, _ = correlated(500, 4)
    assert learned.beyond(test).float().mean() < 0.02
    red = Seen(test.latent, test.flux * torch.tensor([1.0, 300.0]))
    assert learned.beyond(red).float().mean() > 0.9


def test_fluxes_are_those_that_fit_the_reconstruction(free):
    run = galgen.load(free)
    batch = run.on_device(run.survey.first("test", 4))
    latent = run.encode_batch(batch).mean
    shape = run.model.reconstruct(batch).mean(dim=1, keepdim=True)
    size = shape.square().sum(dim=(1, 2, 3)).sqrt()
    bands = run.model.bands
    made = replace(batch, image=3 * shape.expand(-1, bands, -1, -1), weight=None)
    found = fitted_fluxes(run, made, latent)
    torch.testing.assert_close(found, 3 * size[:, None].expand(-1, bands))
    half = torch.zeros_like(made.image)
    half[..., : half.shape[-1] // 2] = 1
    noisy = replace(made, image=made.image + 1e6 * (1 - half), weight=half)
    again = fitted_fluxes(run, noisy, latent)
    torch.testing.assert_close(again, found)
    none = replace(made, weight=torch.zeros_like(half))
    assert (fitted_fluxes(run, none, latent) == 0).all()


def test_scores_of_redshifts():
    true = np.array([0.0, 1.0, 3.0, 1.0])
    found = scores(true, true + np.array([0.1, 0.2, 0.4, 1.0]))
    assert found["bias"] == pytest.approx(0.1)
    assert found["sigma_nmad"] == pytest.approx(0)
    assert found["outliers"] == pytest.approx(0.25)
    even = (np.arange(1000) + 0.5) / 1000
    assert calibration(even)["coverage_68"] == pytest.approx(0.68)
    assert calibration(even)["ks_p"] > 0.99
    assert calibration(even**2)["ks_p"] < 1e-6


def test_redshift_writes_a_table_densities_and_scores(command, free):
    code, printed = command("redshift", f"run={free}", "out=z.ecsv", "images=test", "points=50")
    assert code == 0, printed
    table = Table.read("z.ecsv")
    assert len(table) == 8
    levels = [table[f"redshift_p{level}"] for level in ("2_5", "16", "50", "84", "97_5")]
    assert (np.diff(levels, axis=0) >= 0).all()
    with h5py.File("z_qp.hdf5") as file:
        grid, densities = file["meta/xvals"][0], file["data/yvals"][:]
        assert file["meta/pdf_name"][0] == b"interp"
        np.testing.assert_allclose(np.trapezoid(densities, grid, axis=1), 1)
        assert file["ancil/galaxy_id"][:].tolist() == table["galaxy_id"].tolist()
    assert Path("z_posteriors.png").is_file()
    before = (free / "condition_posterior.ckpt").stat().st_mtime_ns
    code, printed = command("redshift", f"run={free}", "out=again.fits")
    assert code == 0, printed
    assert (free / "condition_posterior.ckpt").stat().st_mtime_ns == before
    np.testing.assert_allclose(Table.read("again.fits")["redshift_p50"], table["redshift_p50"])


def write(path: Path, images: np.ndarray, **attrs) -> Path:
    n = len(images)
    block = {"image": images.astype("f4"), "noise_variance": np.full(n, 4e-4)}
    facts = {"survey": "mine", "unit": "counts/s", "pixel_scale": 0.05, "zero_point": [25.5]}
    facts |= attrs
    facts = {key: value for key, value in facts.items() if value is not None}
    write_stamps(path, [block], facts)
    return path


def test_given_stamps_are_brought_to_the_unit_of_the_run(free):
    run, images = galgen.load(free), discs(4)
    same = GivenStamps(run, write(Path("a.h5"), images)).batch(0, 4)
    other = GivenStamps(run, write(Path("b.h5"), 10 * images, zero_point=[28.0])).batch(0, 4)
    torch.testing.assert_close(other.image, same.image, rtol=1e-5, atol=1e-5)
    unknown = write(Path("c.h5"), 10 * images, zero_point=None)
    with pytest.raises(GalgenError, match=r"the zero point of .* is not known, .* Give zero_point"):
        GivenStamps(run, unknown)
    said = GivenStamps(run, unknown, zero_point=28.0).batch(0, 4)
    torch.testing.assert_close(said.image, other.image)


def test_given_stamps_of_other_pixels_are_resampled(free):
    """A Gaussian on pixels half as large is the same Gaussian, and its light is kept."""
    run = galgen.load(free)

    def profile(side, sigma):
        y, x = np.mgrid[:side, :side] - (side - 1) / 2
        return np.exp(-0.5 * (x**2 + y**2) / sigma**2) / sigma**2

    noise = 1e-4 * np.random.default_rng(0).standard_normal((2, 96, 96))
    fine = write(Path("fine.h5"), profile(96, 6.0)[None] + noise, pixel_scale=0.025)
    given = GivenStamps(run, fine)
    assert given.resampled
    found = given.batch(0, 2)
    expected = torch.from_numpy(profile(32, 3.0)).float() / run.transform.scale
    torch.testing.assert_close(
        found.image[0, 0], expected, atol=0.01 * float(expected.max()), rtol=0
    )
    assert (found.noise_variance > 0).all()


@pytest.mark.parametrize(
    ("images", "attrs", "says"),
    [
        (discs(3, size=20), {}, "its stamps cover 20 of the model's pixels"),
        (discs(3), {"pixel_scale": None}, "its pixel scale is not known"),
        (discs(3), {"pixel_scale": 0.01}, "its stamps cover 6 of the model's pixels"),
    ],
)
def test_stamps_that_do_not_fit_are_refused(command, free, images, attrs, says):
    path = write(Path("given.h5"), images, **attrs)
    code, printed = command("redshift", f"run={free}", f"images={path}", "out=z.fits")
    assert code == 1
    assert says in printed
    assert not Path("z.fits").exists()


def test_a_model_that_is_given_the_redshift_cannot_tell_it(command, trained):
    code, printed = command("redshift", f"run={trained}")
    assert code == 1
    assert "is given the redshift, so it cannot tell it" in printed


def test_generated_galaxies_are_compared_with_what_they_were_asked_for(command, free):
    code, printed = command(
        "generate", f"run={free}", "n=30", "conditions=learned", "psf=survey", "noise=survey",
        "out=made.h5",
    )  # fmt: skip
    assert code == 0, printed
    code, printed = command("redshift", f"run={free}", "images=made.h5", "out=made.fits")
    assert code == 0, printed
    assert "Posteriors beside values that were asked for" in printed
    assert "generated galaxies of made.h5" in Table.read("made.fits").meta["IMAGES"]
