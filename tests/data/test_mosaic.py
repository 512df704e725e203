"""Stamps of mosaics: the right galaxies, in the right places, with the light they have."""

import gzip
import pickle
import shutil

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from scipy.ndimage import gaussian_filter

from galgen.data.surveys.mosaic import detection
from galgen.data.surveys.mosaic.mosaic import Mosaic
from galgen.data.surveys.mosaic.mosaic_source import MosaicSource
from tests.conftest import SHARED
from tests.data.mosaic_scene import (
    HEADER,
    IMAGE,
    NOISE,
    SCALE,
    SHAPE,
    SIZE,
    SKY,
    TRUTH,
    drawn,
    gaussian,
    truth_of,
)

XDF = SHARED / "data" / "xdf" / "xdf_hst_wfc3ir_60mas"


def test_every_galaxy_is_found_where_it_is_and_with_its_light(open_mosaic):
    stamps = drawn(open_mosaic())
    truth, distance = truth_of(stamps)
    assert len(stamps["image"]) == len(TRUTH) == len(set(truth["id"]))
    assert distance.max() < 0.3
    place = SkyCoord(stamps["ra"], stamps["dec"], unit="deg")
    separation = place.separation(SkyCoord(truth["ra"], truth["dec"]))
    assert separation.arcsec.max() < 0.3 * SCALE
    np.testing.assert_allclose(stamps["flux"], truth["flux"], rtol=0.06)
    assert np.median(stamps["flux"] / truth["flux"]) == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(stamps["magnitude"], 25 - 2.5 * np.log10(stamps["flux"]))
    # Half of a Gaussian's light is within 1.1774 sigma.
    np.testing.assert_allclose(stamps["flux_radius"], 1.1774 * truth["sigma"] * SCALE, rtol=0.06)
    np.testing.assert_allclose(stamps["noise_variance"], NOISE**2, rtol=0.06)
    np.testing.assert_allclose(stamps["background"], NOISE, rtol=0.2)  # white
    error = NOISE * stamps["flux"] / stamps["signal_to_noise"]  # of Kron's ellipse
    assert ((error > 10) & (error < 40)).all()
    np.testing.assert_array_equal(stamps["galaxy_id"], np.arange(len(TRUTH)))
    assert np.isnan(stamps["redshift"]).all()


def test_stamps_are_the_pixels_around_the_galaxy_without_the_sky(open_mosaic):
    stamps = drawn(open_mosaic(neighbours="keep", size=24))
    inside = stamps["flag"] == 0
    assert inside.sum() > 15
    for image, x, y in zip(stamps["image"], stamps["x"], stamps["y"], strict=True):
        top, left = round(y) - 12, round(x) - 12
        expected = IMAGE[top : top + 24, left : left + 24] - SKY
        if expected.shape == (24, 24):
            np.testing.assert_allclose(image, expected, atol=0.2)
            np.testing.assert_allclose(np.ptp(image - expected), 0, atol=1e-4)  # one level a stamp
    assert np.abs(np.median(stamps["image"][inside][:, :3])) < 0.1


def test_sections_have_no_seams(open_mosaic, monkeypatch):
    whole = drawn(open_mosaic(size=24))
    monkeypatch.setattr(detection, "CORE", 75)
    monkeypatch.setattr(detection, "MARGIN", 40)
    source = open_mosaic(size=24)
    assert len(source._sections) == 16
    cut = drawn(source)
    assert len(cut["x"]) == len(whole["x"])
    here, there = np.lexsort((whole["x"], whole["y"])), np.lexsort((cut["x"], cut["y"]))
    for name, tolerance in {"x": 0.1, "y": 0.1, "flux": 60, "image": 1.0}.items():
        if name == "image":
            kept = (whole["flag"][here] == 0) & (cut["flag"][there] == 0)
            here, there = here[kept], there[kept]
        np.testing.assert_allclose(cut[name][there], whole[name][here], atol=tolerance)


def test_a_galaxy_on_a_seam_is_one_galaxy(open_mosaic, monkeypatch):
    monkeypatch.setattr(detection, "CORE", 150)
    image = np.random.default_rng(2).normal(0, 1, SHAPE)
    places = [(149.5, 60.0), (149.5, 119.5), (60.0, 119.5), (150.2, 180.0), (220.0, 120.3)]
    for x, y in places:
        image += gaussian(x, y, 3000, 3)
    stamps = drawn(open_mosaic(image.astype(np.float32)))
    found = sorted(zip(stamps["x"].round(1), stamps["y"].round(1), strict=True))
    np.testing.assert_allclose(found, sorted(places), atol=0.3)


def test_stamps_do_not_depend_on_the_block(open_mosaic, monkeypatch):
    monkeypatch.setattr(detection, "CORE", 150)
    source = open_mosaic(size=64)
    together, _ = source.draw(range(len(source)))
    copy = pickle.loads(pickle.dumps(source))
    assert set(together["flag"]) >= {0, 1, 2, 3}
    for number in (7, 0, len(source) - 1):
        alone, _ = copy.draw([number])
        for name, values in alone.items():
            np.testing.assert_array_equal(values[0], together[name][number])
    nothing, _ = copy.draw(range(0))
    assert nothing["image"].shape == (0, 64, 64)
    assert nothing["galaxy_id"].dtype == nothing["flag"].dtype == np.int64


@pytest.mark.parametrize("form", ["extensions", "gzip", "fpack", "big-endian doubles", "integers"])
def test_all_forms_of_fits_give_the_same_stamps(open_mosaic, tmp_path, form):
    image = (IMAGE * 8).round() if form == "integers" else IMAGE
    path, hdu = tmp_path / "form.fits", None
    expected = drawn(open_mosaic(image.astype(np.float32)))
    primary = fits.PrimaryHDU(header=fits.Header({"FILTER": "F160W"}))
    if form == "extensions":
        other, sci = fits.ImageHDU(image[:9], name="WHT"), fits.ImageHDU(image, HEADER, name="SCI")
        fits.HDUList([primary, other, sci]).writeto(path)
        hdu = "sci"
    elif form == "gzip":
        fits.writeto(tmp_path / "plain.fits", image, HEADER)
        path = tmp_path / "form.fits.gz"
        with open(tmp_path / "plain.fits", "rb") as plain, gzip.open(path, "wb") as packed:
            shutil.copyfileobj(plain, packed)
    elif form == "fpack":
        packed = fits.CompImageHDU(image, HEADER, compression_type="GZIP_2", quantize_level=0)
        fits.HDUList([primary, packed]).writeto(path)
    elif form == "integers":
        fits.writeto(path, image.astype(np.int16), HEADER)
    else:
        fits.writeto(path, image.astype(float), HEADER)
    source = MosaicSource(Mosaic(path, hdu=hdu, zero_point=25.0), SIZE)
    source.open()
    stamps = drawn(source)
    for name, values in expected.items():
        np.testing.assert_array_equal(stamps[name], values)
    assert source.attrs()["bands"] == ["F160W" if form in ("extensions", "fpack") else "unknown"]


@pytest.mark.parametrize("value", [np.nan, 0])
def test_galaxies_at_pixels_without_data_are_flagged_and_filled(open_mosaic, value):
    image = IMAGE.copy()
    image[:, :56] = value
    stamps = drawn(open_mosaic(image, size=48))
    assert len(stamps["x"]) == (TRUTH["x"] > 56).sum()
    left, top = np.rint(stamps["x"]) - 24, np.rint(stamps["y"]) - 24
    touching = (left < 56) | (top < 0) | (left + 48 > SHAPE[1]) | (top + 48 > SHAPE[0])
    np.testing.assert_array_equal(stamps["flag"] & 1, touching)
    assert 0 < touching.sum() < len(touching)
    places = zip(stamps["image"], left, strict=True)
    filled = np.concatenate(
        [stamp[:, : max(0, 56 - int(start))].ravel() for stamp, start in places]
    )
    assert filled.size > 300
    assert filled.std() == pytest.approx(NOISE, rel=0.1)
    assert abs(filled.mean()) < 0.15


def test_a_weight_map_says_the_same_as_a_noise_map(open_mosaic, tmp_path):
    noise = np.full(SHAPE, 2.0, np.float32)
    noise[:, 150:] = 4.0
    noise[100:140] = 0
    fits.writeto(tmp_path / "rms.fits", noise)
    weight = np.divide(1, noise**2, out=np.zeros(SHAPE, np.float32), where=noise > 0)
    maps = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(weight, name="WHT")])
    maps.writeto(tmp_path / "maps.fits")
    rms = drawn(open_mosaic(rms=tmp_path / "rms.fits"))
    one = drawn(open_mosaic(weight=f"{tmp_path}/maps.fits[WHT]"))
    two = drawn(open_mosaic(weight=f"{tmp_path}/maps.fits[1]"))
    for name, values in rms.items():
        np.testing.assert_array_equal(one[name], values)
        np.testing.assert_array_equal(two[name], values)
    assert not ((rms["y"] > 100) & (rms["y"] < 139)).any()
    left, right = (rms["noise_variance"][chosen] for chosen in (rms["x"] < 130, rms["x"] > 170))
    np.testing.assert_allclose(right / left[0], 4, rtol=1e-6)
    assert (rms["flag"][(rms["y"] > 140) & (rms["y"] < 150)] & 1).all()


def test_the_scale_of_the_noise_map_is_compared_with_the_image(open_mosaic, tmp_path):
    fits.writeto(tmp_path / "rms.fits", np.full(SHAPE, 2 * NOISE, np.float32))
    source = open_mosaic(rms=tmp_path / "rms.fits")
    assert any("is 0.5" in note and "noise map" in note for note in source.notes)
    assert len(source) == len(TRUTH)  # the threshold is of the noise that there is
    assert not any("noise map" in note for note in open_mosaic().notes)
    stamps = drawn(source)
    np.testing.assert_allclose(stamps["noise_variance"], NOISE**2, rtol=0.05)
    np.testing.assert_allclose(stamps["background"], NOISE, rtol=0.2)


def pair(separation: float) -> np.ndarray:
    image = np.random.default_rng(3).normal(SKY, NOISE, SHAPE)
    image += gaussian(100, 100, 4000, 2.5) + gaussian(100 + separation, 100, 6000, 2.5)
    return image.astype(np.float32)


@pytest.mark.parametrize("separation", [11, 20])
def test_neighbours_are_replaced_masked_or_kept(open_mosaic, separation):
    image = pair(separation)
    ways = "noise", "mask", "keep"
    stamps = {way: drawn(open_mosaic(image, size=48, neighbours=way)) for way in ways}
    left = stamps["keep"]["x"].argmin()
    assert [len(s["x"]) for s in stamps.values()] == [2, 2, 2]
    kept, masked, replaced = (stamps[way]["image"][left] for way in ways[::-1])
    np.testing.assert_allclose(kept, image[76:124, 76:124] - SKY, atol=0.3)
    neighbour = np.s_[20:29, 20 + separation : 29 + separation]
    weight = stamps["mask"]["weight"][left]
    assert weight.dtype == np.float32
    assert set(np.unique(weight)) == {0, 1}
    assert (weight[neighbour] == 0).all()
    assert (weight[20:29, 20:29] == 1).all()
    np.testing.assert_array_equal(masked[weight == 0], 0)
    np.testing.assert_array_equal(masked[weight == 1], kept[weight == 1])
    np.testing.assert_array_equal(replaced[weight == 1], kept[weight == 1])
    assert kept[neighbour].mean() > 20
    assert abs(replaced[neighbour].mean()) < 0.6
    assert replaced[weight == 0].std() == pytest.approx(NOISE, rel=0.2)
    blended = 4 * (separation == 11)
    assert stamps["keep"]["flag"].tolist() == [blended] * 2
    assert stamps["noise"]["flag"].tolist() == stamps["mask"]["flag"].tolist() == [2 + blended] * 2
    assert "weight" not in stamps["noise"]


def test_drawn_noise_is_correlated_as_that_of_the_mosaic(open_mosaic):
    rng = np.random.default_rng(0)
    noise = gaussian_filter(rng.normal(size=(600, 600)), 0.9)
    noise /= noise.std()
    known = noise.copy()
    known[100:200, 200:400] = np.nan
    kernel = detection.noise_filter(detection.lagged_products(known))
    made = detection.draw_noise(kernel, 600, rng)
    assert made.std() == pytest.approx(1, abs=0.02)
    for y, x in [(0, 1), (1, 0), (1, 1), (2, 0), (0, 5)]:
        there, here = np.roll(noise, (y, x), (0, 1)) * noise, np.roll(made, (y, x), (0, 1)) * made
        assert here.mean() == pytest.approx(there.mean(), abs=0.03)
    image = gaussian_filter(IMAGE, 0.9)
    image[:, :50] = np.nan
    stamps = drawn(open_mosaic(image, size=64))
    filled = stamps["image"][stamps["x"] < 80][:, :, :4]
    assert filled.size > 1000
    correlation = (filled[:, 1:] * filled[:, :-1]).mean() / filled.var()
    assert correlation == pytest.approx(np.exp(-1 / (4 * 0.9**2)), abs=0.1)


def test_a_stamp_of_one_value_is_left_out(open_mosaic):
    image = IMAGE.copy()
    image[100:104, 100:104] = 1e4  # saturated
    source = open_mosaic(image, size=2)
    _, reasons = source.draw(range(len(source)))
    assert len(reasons) == 1
    assert "one value" in next(iter(reasons.values()))


def test_attributes_change_with_what_the_stamps_depend_on(open_mosaic):
    header = HEADER.copy()
    header["BUNIT"], header["FILTER2"], header["FILTER1"] = "nJy", "F814W", "CLEAR1L"
    source = open_mosaic(header=header, zero_point=None)
    attrs = source.attrs()
    assert (attrs["survey"], attrs["bands"], attrs["unit"]) == ("mosaic", ["F814W"], "nJy")
    assert attrs["pixel_scale"] == pytest.approx(SCALE)
    assert attrs["zero_point"] == pytest.approx([31.4], abs=0.01)
    assert any("31.4" in note and "BUNIT" in note for note in source.notes)
    others = [{"threshold": 4.0}, {"neighbours": "keep"}, {"size": 30}, {"image": IMAGE + 1}]
    recipes = {open_mosaic(header=header, **other).attrs()["recipe"] for other in others}
    assert len(recipes | {attrs["recipe"]}) == 5
    blind = open_mosaic(zero_point=None)
    assert "zero_point" not in blind.attrs()
    assert np.isnan(drawn(blind)["magnitude"]).all()


@pytest.mark.skipif(not XDF.parent.is_dir(), reason="no shared data")
@pytest.mark.parametrize("band", ["f105w", "f160w"])
def test_the_extreme_deep_field(band):
    maps = {"rms": f"{XDF}_{band}_rms.fits"}
    source = MosaicSource(Mosaic(f"{XDF}_{band}_sci.fits", **maps), 48)
    source.open()
    assert 25 <= len(source) <= 32
    stamps = drawn(source)
    attrs = source.attrs()
    assert (attrs["bands"], attrs["unit"]) == ([band], "electron / s")
    assert attrs["pixel_scale"] == pytest.approx(0.06)
    assert (stamps["signal_to_noise"] > 3).all()
    sky = stamps["image"][:, [0, -1]]
    assert abs(np.median(sky)) < 1e-4  # the noise of a pixel is 5e-4
    assert sky.std() == pytest.approx(4.7e-4, rel=0.15)
    bright = stamps["image"][stamps["signal_to_noise"] > 12]
    np.testing.assert_array_equal(bright[:, 20:29, 20:29].max((1, 2)), bright.max((1, 2)))
