"""Generated galaxies through a PSF and with noise."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits

import galgen
from galgen.catalogues.observed import Telescope
from galgen.errors import GalgenError
from tests.catalogues.conftest import read
from tests.conftest import PSFS, SCALE, SIGMA, gaussian


def generated(command, run, *arguments, out="m.h5") -> tuple[np.ndarray, dict]:
    code, printed = command("generate", f"run={run}", f"out={out}", *arguments)
    assert code == 0, printed
    with h5py.File(out) as file:
        return file["image"][:, 0], {**file.attrs, "flux": file["flux"][:]}


def convolved(light, psf):
    """Return the direct sum over pixels, the light at the edges going on."""
    from scipy.signal import convolve2d

    wide = [np.pad(image, len(psf) // 2, mode="edge") for image in light]
    return np.stack([convolve2d(image, psf, mode="valid") for image in wide])


def test_a_psf_of_a_file_blurs_all_galaxies_and_the_table_stays_that_of_the_light(command, free):
    fits.writeto("psf.fits", 7 * gaussian(1.5))  # without a scale, and not normalised
    light, attrs = generated(command, free, "n=5", out="light.h5")
    seen, blurred = generated(command, free, "n=5", "psf=psf.fits")
    np.testing.assert_allclose(seen, convolved(light, gaussian(1.5)), atol=1e-5 * light.max())
    np.testing.assert_array_equal(attrs["flux"], blurred["flux"])
    assert (attrs["psf"], attrs["noise"]) == ("none", "none")
    assert blurred["psf"] == "psf.fits"
    assert len(blurred["psf_sha256"]) == 64


def test_a_psf_of_other_pixels_is_resampled(command, free, caplog):
    """The same Gaussian on pixels half as large."""
    header = fits.Header({"PIXSCALE": SCALE / 2})
    fits.writeto("fine.fits", gaussian(3.0, 41), header)
    fits.writeto("own.fits", gaussian(1.5), fits.Header({"PIXSCALE": SCALE}))
    fine, _ = generated(command, free, "n=3", "psf=fine.fits", out="fine.h5")
    own, _ = generated(command, free, "n=3", "psf=own.fits")
    np.testing.assert_allclose(fine, own, atol=2e-3 * own.max())


def test_each_galaxy_has_psf_and_noise_of_one_of_the_survey_by_its_number(command, free):
    light, _ = generated(command, free, "n=40", out="light.h5")
    blurred, attrs = generated(command, free, "n=40", "psf=survey", out="blurred.h5")
    assert attrs["psf"] == "survey"
    of_each = np.stack([convolved(light, psf[0]) for psf in PSFS])
    away = np.abs(of_each - blurred).max(axis=(2, 3))
    assert (away.min(axis=0) < 1e-5 * light.max()).all()
    assert 5 < away.argmin(axis=0).sum() < 35
    noisy, attrs = generated(command, free, "n=40", "psf=survey", "noise=survey", out="noisy.h5")
    noise = noisy - blurred
    assert noise.std() == pytest.approx(SIGMA, rel=0.05)
    neighbours = (noise[..., 1:] * noise[..., :-1]).mean() / noise.var()
    assert neighbours == pytest.approx(0.48, abs=0.03)
    arguments = ["psf=survey", "noise=survey"]
    piece, _ = generated(command, free, "n=7", "start=21", *arguments, out="piece.h5")
    np.testing.assert_array_equal(piece, noisy[21:28])
    small, _ = generated(command, free, "n=40", *arguments, "batch_size=1", out="small.h5")
    np.testing.assert_array_equal(small, noisy)


def test_fits_says_what_was_done(command, free):
    code, printed = command("generate", f"run={free}", "n=2", "out=m.fits", "noise=survey")
    assert code == 0, printed
    header = fits.getheader("m.fits")
    assert (header["PSF"], header["NOISE"]) == ("none", "survey")
    assert read(Path("m.fits"))["image"].shape == (2, 1, 32, 32)


def test_bands_may_have_psfs_of_their_own(free, tmp_path):
    cube = np.stack([gaussian(1.0), gaussian(2.0)])
    fits.writeto(tmp_path / "cube.fits", cube)
    run = galgen.load(free)
    with pytest.raises(GalgenError, match=r"its image is 2 x 21 x 21. Give one PSF, or one for"):
        Telescope(run, str(tmp_path / "cube.fits"))
    fits.writeto(tmp_path / "one.fits", cube[:1])
    assert Telescope(run, str(tmp_path / "one.fits"))._kernel.shape == (1, 1, 21, 21)


@pytest.mark.parametrize("values", [np.zeros((5, 5)), np.full((5, 5), np.nan), -gaussian(1.0)])
def test_a_psf_without_light_is_refused(command, free, values):
    fits.writeto("psf.fits", values)
    code, printed = command("generate", f"run={free}", "n=2", "out=m.h5", "psf=psf.fits")
    assert code == 1
    assert "psf=psf.fits: its values are not finite, or their sum is not positive" in printed
    assert not Path("m.h5").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["psf=nowhere.fits"], "psf=nowhere.fits: there is no file"),
        (["noise=white"], "noise=white: it can be none or survey"),
    ],
)
def test_what_cannot_be_is_a_sentence(command, free, arguments, said):
    code, printed = command("generate", f"run={free}", "n=2", "out=m.h5", *arguments)
    assert (code, said in printed) == (1, True), printed
    assert "Traceback" not in printed
    assert not list(Path().iterdir())


def test_a_model_behind_the_telescope_keeps_its_psf(command, physical, trained):
    code, printed = command("generate", f"run={physical}", "n=2", "out=m.h5", "psf=survey")
    assert (code, "are blurred by the survey's PSF already" in printed) == (1, True), printed
    code, printed = command("generate", f"run={physical}", "n=2", "out=m.h5", "noise=survey")
    assert (code, "has no noise_variance" in printed) == (1, True), printed
    asked = [f"run={trained}", "n=2", "out=m.h5", "redshift=1", "noise=survey"]
    code, printed = command("generate", *asked)
    assert (code, "scaled to a peak of 1" in printed) == (1, True), printed
