"""Several bands of one sky: each galaxy in all of them, with its colours, where there are data."""

import json

import numpy as np
import pytest
from astropy.io import fits

from galgen.data.surveys.mosaic import detection
from galgen.data.surveys.mosaic.band_photometry import detect_in_bands
from galgen.data.surveys.mosaic.mosaic import Mosaic
from tests.data.band_scene import (
    BLUE,
    BLUE_NOISE,
    RED,
    nearest,
    opened,
    true_magnitudes,
    write,
)
from tests.data.mosaic_scene import HEADER, NOISE, SHAPE, TRUTH, drawn, gaussian

BOTH = {"red": RED, "blue": BLUE}


@pytest.mark.parametrize("detect", ["sum", "red", "blue"])
def test_magnitudes_and_colours_are_the_true_ones(tmp_path, detect):
    source = opened(write(tmp_path, BOTH), detect=detect)
    stamps = drawn(source)
    truth = true_magnitudes(nearest(stamps))
    assert len(stamps["x"]) == len(TRUTH)
    off = stamps["magnitude"] - truth
    error = 2.5 / np.log(10) / stamps["signal_to_noise"]
    # Kron's aperture of the sharper band holds 97 to 99 % of the light of the other.
    assert np.abs(np.median(off, axis=0)).max() < 0.04
    assert (np.abs(off - np.median(off, axis=0)) < 4 * error + 0.03).all()
    colour = off[:, 0] - off[:, 1]
    assert abs(np.median(colour)) < 0.03
    np.testing.assert_allclose(
        stamps["noise_variance"], [[NOISE**2, BLUE_NOISE**2]] * len(truth), rtol=0.1
    )
    np.testing.assert_allclose(stamps["background"], [[NOISE, BLUE_NOISE]] * len(truth), rtol=0.25)
    # The errors of Kron's ellipse: the same pixels, so they go as the noise of each band.
    errors = stamps["flux"] / stamps["signal_to_noise"]
    np.testing.assert_allclose(errors[:, 1] / errors[:, 0], BLUE_NOISE / NOISE, rtol=0.15)
    attrs = source.attrs()
    assert (attrs["bands"], attrs["zero_point"]) == (["red", "blue"], [25.0, 24.0])
    assert attrs["reference_band"] == {"sum": "blue"}.get(detect, detect)
    assert json.loads(attrs["recipe"])["detect"] == detect
    assert (stamps["has_band"] == 1).all()


def test_one_band_of_several_is_that_band_alone(tmp_path, open_mosaic):
    alone = drawn(open_mosaic())
    both = drawn(opened(write(tmp_path, BOTH), detect="red"))
    for name in ("x", "y", "flux_radius", "ra", "dec"):
        np.testing.assert_array_equal(both[name], alone[name])
    for name in ("flux", "magnitude", "signal_to_noise", "noise_variance", "background", "image"):
        np.testing.assert_array_equal(both[name][:, 0], alone[name])


def test_all_bands_are_cut_at_one_place_and_lose_the_same_neighbours(tmp_path):
    both = opened(write(tmp_path, BOTH), size=64, neighbours="mask", detect="red")
    kept = drawn(opened(write(tmp_path, BOTH), size=64, neighbours="keep", detect="red"))
    stamps = drawn(both)
    inside = np.flatnonzero((stamps["flag"] & 1) == 0)
    assert len(inside) > 3
    assert (stamps["weight"][inside] == 0).any((1, 2, 3)).sum() > 3
    for row in inside:
        top, left = round(stamps["y"][row]) - 32, round(stamps["x"][row]) - 32
        for band, image in enumerate((RED, BLUE)):
            whole = kept["image"][row, band] - image[top : top + 64, left : left + 64]
            assert np.ptp(whole) < 1e-3  # one level of sky a stamp
        red, blue = stamps["weight"][row]
        np.testing.assert_array_equal(red, blue)
        assert (stamps["image"][row][:, red == 0] == 0).all()


def test_a_band_without_data_in_a_corner(tmp_path):
    blue = BLUE.copy()
    blue[:, :110] = np.nan
    whole = drawn(opened(write(tmp_path, BOTH), detect="red"))
    source = opened(write(tmp_path, {"red": RED, "blue": blue}), detect="red")
    stamps = drawn(source)
    np.testing.assert_array_equal(stamps["x"], whole["x"])
    np.testing.assert_array_equal(stamps["image"][:, 0], whole["image"][:, 0])
    left = np.rint(stamps["x"]) - 16
    lacking, there = left + 32 <= 110, left >= 110
    assert (lacking.sum(), there.sum()) == (10, 15)
    np.testing.assert_array_equal(stamps["has_band"], np.stack([lacking >= 0, ~lacking], 1))
    assert (stamps["image"][lacking, 1] == 0).all()
    assert (stamps["weight"][lacking, 1] == 0).all()
    assert np.isnan(stamps["magnitude"][lacking, 1]).all()
    assert np.isnan(stamps["noise_variance"][lacking, 1]).all()
    assert np.isfinite(stamps["magnitude"][:, 0]).all()
    assert np.isfinite(stamps["background"]).all()
    for row in np.flatnonzero(~lacking):
        columns = np.arange(32) + left[row]
        known = (stamps["weight"][row, 1] == 1).all(axis=0)
        rows = np.arange(32) + round(stamps["y"][row]) - 16
        if rows[0] >= 0 and rows[-1] < SHAPE[0]:
            np.testing.assert_array_equal(known, (columns >= 110) & (columns < SHAPE[1]))
    # Beside the edge a galaxy that has lost light has no flux, and others have the true one.
    off = (stamps["magnitude"] - true_magnitudes(nearest(stamps)))[:, 1]
    assert np.nanmax(np.abs(off)) < 0.12
    assert np.isnan(off[stamps["x"] < 111]).all()
    assert np.isfinite(off[stamps["x"] > 122]).all()
    unknown = np.isnan(off).sum()
    assert any(f"{unknown} of {len(off)} galaxies have no flux in blue" in n for n in source.notes)
    assert any(n.startswith("blue: 36.67% of the image has no data") for n in source.notes)


def test_where_the_detected_band_has_no_data_others_still_detect_in_the_sum(tmp_path):
    red = RED.copy()
    red[:, :110] = np.nan
    paths = write(tmp_path, {"red": red, "blue": BLUE})
    stamps = drawn(opened(paths))
    assert len(stamps["x"]) == len(TRUTH)
    lacking = stamps["has_band"][:, 0] == 0
    assert lacking.sum() == 10
    assert np.isfinite(stamps["magnitude"][lacking, 1]).all()
    assert drawn(opened(paths, detect="red"))["x"].min() > 105


def test_the_sum_weighs_by_noise_on_one_flux_scale():
    rng, shape = np.random.default_rng(0), (300, 300)
    light = sum(gaussian(x, y, 60, 2)[:, :300] for x in (60, 120, 180) for y in (60, 120, 180))
    light = np.pad(light, ((0, 300 - light.shape[0]), (0, 0)))
    # One sky at zero points 0 and 2.5, of noise 1 and 3 in units of the first.
    bands = [
        (rng.normal(7, 1, shape) + light, None),
        (10 * (rng.normal(1, 3, shape) + light), None),
    ]
    core = slice(0, 300), slice(0, 300)
    both = detect_in_bands(bands, [1.0, 0.1], -1, 3.0, 15, core)
    one = detect_in_bands(bands, [1.0, 0.1], 0, 3.0, 15, core)
    assert len(both.columns["x"]) == len(one.columns["x"]) == 9
    fluxes = both.columns["flux"] * [1, 0.1]
    errors = fluxes / both.columns["signal_to_noise"]
    assert errors[:, 1] / errors[:, 0] == pytest.approx(3, rel=0.05)
    assert np.median(fluxes[:, 0]) == pytest.approx(60, rel=0.15)
    # Of two bands of equal noise the sum has 1.41 times the signal to noise of one: at a
    # threshold between the two, it finds what neither does.
    faint = 0.55 * light
    bands = [(rng.normal(0, 1, shape) + faint, None) for _ in range(2)]
    found = [
        detect_in_bands(bands, [1.0, 1.0], chosen, 3.0, 15, core).columns.get("x", [])
        for chosen in (-1, 0, 1)
    ]
    assert len(found[0]) > max(len(found[1]), len(found[2])) + 2


def test_an_unknown_zero_point_sums_in_units_of_noise(tmp_path):
    source = opened(write(tmp_path, {"red": RED, "blue": 1e-12 * BLUE}), zero_point=None)
    assert len(source) == len(TRUTH)
    assert any("in units of their noise because a zero point is unknown" in n for n in source.notes)
    assert np.isnan(drawn(source)["magnitude"]).all()
    assert "zero_point" not in source.attrs()


def test_maps_of_bands(tmp_path):
    noise = {"red_rms": np.full(SHAPE, 2.0), "blue_wht": np.full(SHAPE, 1 / BLUE_NOISE**2)}
    noise["blue_wht"][:, 250:] = 0
    maps = write(tmp_path, {**noise, "mask": (np.mgrid[: SHAPE[0], : SHAPE[1]][0] < 50) * 1.0})
    source = opened(
        write(tmp_path, BOTH),
        rms={"red": maps["red_rms"], "blue": None},
        weight={"red": None, "blue": maps["blue_wht"]},
        mask=maps["mask"],
        detect="red",
    )
    stamps = drawn(source)
    assert stamps["y"].min() > 50
    red, blue = stamps["noise_variance"].T
    np.testing.assert_allclose(red, NOISE**2, rtol=0.1)  # measured, in units of the map's 2
    np.testing.assert_allclose(blue[stamps["x"] < 230], BLUE_NOISE**2, rtol=0.1)
    assert (stamps["has_band"][stamps["x"] > 270] == [1, 0]).all()
    said = [note for note in source.notes if "times that of the noise map" in note]
    assert len(said) == 1
    assert said[0].startswith("red: the noise between the sources is 0.5")
    roles = {"image red", "rms red", "mask red", "image blue", "weight blue", "mask blue"}
    assert set(source.mosaic.hashes) == roles


@pytest.mark.parametrize(
    ("filters", "swapped"),
    [
        ({"g": "r", "r": "g"}, "that of g names r, that of r names g"),
        ({"g": "SDSS-R", "r": "HSC_g"}, "that of g names SDSS-R, that of r names HSC_g"),
        ({"g": "r", "r": "i", "i": "g"}, "that of g names r, that of r names i, that of i names g"),
        ({"g": "r", "r": "g", "i": "i"}, "that of g names r, that of r names g"),
        ({"g": "SDSS-g", "r": "R"}, None),
        ({"g": "r", "r": "r"}, None),
        ({"g": "r", "r": None}, None),
        ({"g": "r.MP9601", "r": "red"}, None),
        ({"r": "R", "R": "r"}, None),
    ],
)
def test_headers_that_show_swapped_bands_are_told(tmp_path, filters, swapped):
    headers = {
        f"{number}": fits.Header({**HEADER, **({"FILTER": name} if name else {})})
        for number, name in enumerate(filters.values())
    }
    rng = np.random.default_rng(0)
    images = {number: rng.normal(size=SHAPE).astype("f4") for number in headers}
    paths = write(tmp_path, images, headers)
    mosaic = Mosaic(images=dict(zip(filters, paths.values(), strict=True)), zero_point=25.0)
    told = [note for note in mosaic.check() if "contradict" in note]
    wanted = f"the headers contradict mosaic.images, {swapped}. Are the files of these bands swap"
    assert len(told) == (swapped is not None)
    assert all(note.startswith(wanted) for note in told), told


def test_bands_do_not_depend_on_sections(tmp_path, monkeypatch):
    paths = write(tmp_path, BOTH)
    whole = drawn(opened(paths))
    monkeypatch.setattr(detection, "CORE", 150)
    cut = drawn(opened(paths))
    here, there = np.lexsort((whole["x"], whole["y"])), np.lexsort((cut["x"], cut["y"]))
    assert len(here) == len(there)
    np.testing.assert_allclose(cut["flux"][there], whole["flux"][here], atol=60)
