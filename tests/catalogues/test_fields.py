"""Mock fields: where galaxies lie, how bright they are, and what does not change them."""

from pathlib import Path

import galsim
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galgen.catalogues.fields import CELL, Field, MockSky
from tests.conftest import gaussian


def drawn(command, run, *arguments, out="field.fits"):
    words = ["detect=false", "size=0.5", "pixel_scale=0.05", "density=40", *arguments]
    code, printed = command("field", f"run={run}", f"out={out}", *words)
    assert code == 0, printed
    truth = Table.read(out.replace(".fits", "_truth.fits"))
    return fits.getdata(out), truth, fits.getheader(out)


def test_the_light_of_a_field_is_that_of_its_galaxies(command, free):
    image, truth, header = drawn(command, free, "density=20")
    assert image.shape == (600, 600)
    assert header["PIXSCALE"] == 0.05
    inside = (np.abs(truth["x"] - 300.5) < 280) & (np.abs(truth["y"] - 300.5) < 280)
    total = truth["flux"][inside].sum()
    assert truth["flux"].sum() > image.sum() > 0.98 * total
    points = 25.5 - 2.5 * np.log10(truth["flux"])
    np.testing.assert_allclose(truth["magnitude"], points, atol=1e-4)
    brightest = truth[np.argmax(truth["flux"])]
    y, x = (round(float(brightest[name])) - 1 for name in ("y", "x"))
    around = image[max(y - 10, 0) : y + 11, max(x - 10, 0) : x + 11]
    assert around.sum() > 0.5 * brightest["flux"]
    assert image.min() > -0.05 * image.max()


def test_a_field_is_the_same_with_any_number_of_processes(command, free):
    one = drawn(command, free, "processes=1", "noise=0.1", "pixel_scale=0.04")
    two = drawn(command, free, "processes=2", "noise=0.1", "pixel_scale=0.04", out="b.fits")
    np.testing.assert_array_equal(one[0], two[0])
    for name in one[1].colnames:
        np.testing.assert_array_equal(one[1][name], two[1][name])
    assert len(one[1]) > 5
    x, y = one[1]["x"], one[1]["y"]
    assert len({(column // CELL, row // CELL) for column, row in zip(x, y, strict=True)}) > 1
    other = drawn(command, free, "noise=0.1", "pixel_scale=0.04", "seed=1", out="c.fits")
    assert not np.array_equal(one[0], other[0])


def test_noise_has_its_level_and_number_counts_their_density(command, free):
    image, truth, _ = drawn(command, free, "noise=0.25", "density=0.001", "size=1")
    assert len(truth) == 0
    np.testing.assert_allclose(image.std(), 0.25, rtol=0.01)
    numbers = [len(Field(sky(free, seed=seed))) for seed in range(30)]
    assert abs(np.mean(numbers) - 40) < 4 * np.sqrt(40 / 30)


def sky(run, **changes) -> MockSky:
    facts = {"run": str(run), "size": 1, "pixel_scale": 0.05, "density": 40, "faintest": None}
    facts |= {"psf": "none", "noise": 0, "shear": (0, 0), "magnification": 1, "band": "unknown"}
    return MockSky(**{**facts, "prior": "normal", "seed": 0, **changes})


def test_a_psf_blurs_and_magnification_brightens(command, free):
    sharp, truth, _ = drawn(command, free)
    blurred, _, _ = drawn(command, free, "psf=0.4", out="b.fits")
    bright, brighter, _ = drawn(command, free, "magnification=1.5", out="m.fits")
    assert blurred.max() < 0.8 * sharp.max()
    np.testing.assert_allclose(blurred.sum(), sharp.sum(), rtol=0.02)
    np.testing.assert_allclose(brighter["flux"], 1.5 * truth["flux"], rtol=1e-5)
    radii = [table["half_light_radius"] for table in (brighter, truth)]
    np.testing.assert_allclose(radii[0], np.sqrt(1.5) * radii[1], rtol=1e-5)
    np.testing.assert_allclose(bright.sum(), 1.5 * sharp.sum(), rtol=0.02)
    fits.writeto("psf.fits", gaussian(3.0, 41), fits.Header({"PIXSCALE": 0.05}))
    filed, _, _ = drawn(command, free, "psf=psf.fits", out="f.fits")
    np.testing.assert_allclose(filed.sum(), sharp.sum(), rtol=0.02)


def test_shear_is_that_of_galsim(command, free):
    """A single round galaxy, sheared by 0.2, has the shape that GalSim says."""
    from galgen.catalogues import fields

    drawing = fields.Drawing(sky(free, shear=(0.2, 0.0)))
    y, x = np.mgrid[:32, :32] - 15.5
    light = np.exp(-0.5 * (x**2 + y**2) / 3.0**2)
    image = galsim.ImageF(200, 200, scale=0.05)
    drawing._draw(image, light, 100.2, 99.7)
    moments = galsim.hsm.FindAdaptiveMom(image)
    assert abs(moments.observed_shape.g1 - 0.2) < 0.01
    assert abs(moments.observed_shape.g2) < 0.005
    np.testing.assert_allclose(moments.moments_centroid.x, 100.2, atol=0.02)
    np.testing.assert_allclose(moments.moments_centroid.y, 99.7, atol=0.02)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["size=0"], "size=0: give the side in arcmin, a number from 0.001 to 10000"),
        (["shear=[0.9,0.9]"], "shear=[0.9, 0.9]: give g1 and g2, together at most 0.7"),
        (["noise=-1"], "noise=-1: give the standard deviation of a pixel"),
        (["out=field.png"], "out=field.png: give a name that ends in .fits"),
        (["psf=nothere.fits"], "psf=nothere.fits: there is no file"),
        (["psf=-1"], "psf=-1: the FWHM of a PSF is positive"),
        (["band=F160W"], "band=F160W"),
        (["size=9999"], "px wide, more than 200000"),
        (["faintest=nan"], "faintest=nan: give an AB magnitude"),
        (["shear=0.02"], "shear=0.02: give g1 and g2"),
        (["shear=[a,b]"], "shear=['a', 'b']: give g1 and g2"),
        (["psf=5", "pixel_scale=0.03"], "galaxies reach"),
        (["pixel_scale=0.002"], "galaxies reach"),
        (["size=150"], "take about"),
        (["processes=0"], "processes=0"),
    ],
)
def test_bad_input_is_a_sentence(command, free, monkeypatch, arguments, says):
    if "size=150" in arguments:
        import shutil

        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 10))
    code, printed = command("field", f"run={free}", *arguments)
    assert code == 1
    assert says in printed
    assert "Traceback" not in printed


def test_galaxies_without_flux_have_no_place_on_a_sky(command, trained):
    code, printed = command("field", f"run={trained}")
    assert code == 1
    assert "scaled to a peak of 1, so nobody knows how bright they are" in printed


def test_detections_find_bright_galaxies(command, free):
    pytest.importorskip("photutils")
    words = ["size=0.5", "pixel_scale=0.05", "density=15", "psf=0.2", "noise=0.0001"]
    code, printed = command("field", f"run={free}", *words)
    assert code == 0, printed
    assert "field_counts.png" in printed
    from galgen.figures.field_counts import detections

    truth = Table.read("field_truth.fits")
    found = detections(Path("field.fits"), sky(free, size=0.5))
    inside = (np.abs(truth["x"] - 300.5) < 270) & (np.abs(truth["y"] - 300.5) < 270)
    for row in truth[inside & (truth["flux"] > np.median(truth["flux"]))]:
        away = np.hypot(found["x"] - row["x"], found["y"] - row["y"])
        assert away.min() < 12
