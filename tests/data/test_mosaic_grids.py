"""Bands on one grid, near it, far from it, or on another one; and images without a WCS."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from galgen.errors import GalgenError
from tests.data.band_scene import BLUE, RED, nearest, on_grid, opened, true_magnitudes, write
from tests.data.mosaic_scene import HEADER, SCALE, SHAPE, TRUTH, WORLD, drawn


def moved(pixels: float) -> fits.Header:
    header = HEADER.copy()
    header["CRPIX1"] += pixels
    return header


@pytest.mark.parametrize(("pixels", "said"), [(0.01, False), (0.3, True)])
def test_a_small_shift_is_taken_and_said(tmp_path, pixels, said):
    paths = write(tmp_path, {"red": RED, "blue": BLUE}, {"red": HEADER, "blue": moved(pixels)})
    source = opened(paths, detect="red")
    notes = [n for n in source.notes if "blue: its WCS puts its corners up to 0.3 px away" in n]
    assert bool(notes) == said


@pytest.mark.parametrize("case", ["shifted", "other shape"])
def test_another_grid_is_refused_with_the_remedy(tmp_path, case):
    image = BLUE if case == "shifted" else BLUE[:-1]
    words = "corners are up to 3 px away" if case == "shifted" else "300 x 239 px, not 300 x 240"
    headers = {"red": HEADER, "blue": moved(3 if case == "shifted" else 0)}
    paths = write(tmp_path, {"red": RED, "blue": image}, headers)
    with pytest.raises(
        GalgenError,
        match=rf"mosaic\.images\.blue=.*blue\.fits: it is not on the grid of red \(.*red\.fits\): "
        rf"(it has|its) .*{words}.*\. Give mosaic\.reproject=true",
    ):
        opened(paths)


def grid(scale: float, turn: float, shape: tuple[int, int]) -> WCS:
    """A grid around the centre of the scene, turned against it (deg), pixels in arcsec."""
    wcs = WORLD.deepcopy()
    angle = np.deg2rad(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs.wcs.cd = WORLD.wcs.cd @ rotation * scale / SCALE
    wcs.wcs.crpix = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    centre = WORLD.pixel_to_world((SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2)
    wcs.wcs.crval = centre.ra.deg, centre.dec.deg
    return wcs


GRIDS = {
    "finer and turned": (0.06, 20.0, (560, 600), "nJy"),
    "coarser": (0.15, 0.0, (200, 240), "nJy"),
    "surface brightness": (0.15, 5.0, (210, 240), "nJy / arcsec2"),
    "surface brightness by the other band": (0.15, 5.0, (210, 240), "nJy / arcsec2"),
}


@pytest.mark.parametrize("case", GRIDS)
def test_light_is_conserved_when_a_band_is_resampled(tmp_path, case):
    scale, turn, shape, unit = GRIDS[case]
    wcs, by_area = grid(scale, turn, shape), "arcsec2" in unit
    # By area of the first grid's pixel, or by that of its own.
    blue = on_grid(wcs, shape, per_area=by_area) / (SCALE**2 if by_area else 1)
    headers = {"red": HEADER.copy(), "blue": wcs.to_header()}
    red = RED / SCALE**2 if by_area else RED
    for header in list(headers.values())[: 1 if "other band" in case else 2]:
        header["BUNIT"] = unit
    noise = {"rms": np.full(shape, 0.05 / (SCALE**2 if by_area else 1))}
    points = {"red": 25.0 - 5 * np.log10(SCALE) * by_area, "blue": 24.0}
    points["blue"] -= 5 * np.log10(scale) * by_area  # of one unit in a pixel of its own
    source = opened(
        write(tmp_path, {"red": red, "blue": blue}, headers),
        **{"reproject": True, "detect": "red", "zero_point": points},
        rms={"red": None, "blue": write(tmp_path, noise)["rms"]},
    )
    stamps = drawn(source)
    assert len(stamps["x"]) == len(TRUTH)
    off = stamps["magnitude"] - true_magnitudes(nearest(stamps))
    known = np.isfinite(off[:, 1])
    assert known.sum() > 20
    # Kron's aperture of the sharper band holds 97 to 99 % of the light.
    assert np.abs(np.median(off[known], axis=0)).max() < 0.05
    assert np.abs(off[known, 1]).max() < 0.12
    # The error of a sum over many pixels is the same on both grids.
    area = (stamps["flux"] / stamps["signal_to_noise"])[known]
    pixels = area[:, 0] ** 2 * (SCALE**4 if by_area else 1)  # the red noise is 1
    expected = 0.05 * np.sqrt(pixels) * SCALE / scale
    if by_area:
        expected = 0.05 / SCALE**2 * np.sqrt(pixels) * scale / SCALE
    np.testing.assert_allclose(area[:, 1], expected, rtol=0.1)
    kept = "surface brightness" if by_area else "flux"
    assert any(f"its {kept} is conserved" in note for note in source.notes)
    assert any("neighbouring pixels is correlated" in note for note in source.notes)


def test_pixels_that_a_resampled_band_lacks_have_no_weight(tmp_path):
    shape = 120, 300
    wcs = WORLD.deepcopy()
    wcs.wcs.crpix = WORLD.wcs.crpix[0] + 0.0, WORLD.wcs.crpix[1] - 100
    blue = on_grid(wcs, shape)
    blue[40:42, 150:153] = np.nan
    paths = write(tmp_path, {"red": RED, "blue": blue}, {"red": HEADER, "blue": wcs.to_header()})
    source = opened(paths, reproject=True, detect="red")
    data, _, why = source.mosaic.tiles[0].read((slice(0, SHAPE[0]), slice(0, SHAPE[1])))[1]
    np.testing.assert_array_equal(np.isnan(data), why > 0)
    known = ~np.isnan(data)
    assert not known[:100].any()
    assert not known[220:].any()
    assert not known[139:143, 149:154].any()
    assert known[104:216, 4:296].mean() > 0.99
    assert any("by the end of the image" in note for note in source.notes)
    stamps = drawn(source)
    below = stamps["y"] < 80
    np.testing.assert_array_equal(stamps["has_band"][below], [[1, 0]] * below.sum())


def test_sections_of_a_resampled_band_have_no_seams(tmp_path):
    wcs = grid(0.07, 10.0, (420, 500))
    blue = on_grid(wcs, (420, 500))
    paths = write(tmp_path, {"red": RED, "blue": blue}, {"red": HEADER, "blue": wcs.to_header()})
    source = opened(paths, reproject=True, detect="red")
    tile = source.mosaic.tiles[0]
    whole = tile.read((slice(0, SHAPE[0]), slice(0, SHAPE[1])))[1][0]
    section = slice(70, 171), slice(33, 200)
    np.testing.assert_allclose(tile.read(section)[1][0], whole[section], rtol=1e-6, atol=1e-6)


def test_images_without_a_wcs(tmp_path):
    paths = write(tmp_path, {"red": RED, "blue": BLUE}, fits.Header())
    with pytest.raises(GalgenError, match=r"no celestial WCS .* or give mosaic\.pixel_scale=<arc"):
        opened(paths)
    source = opened(paths, pixel_scale=0.1)
    stamps = drawn(source)
    assert len(stamps["x"]) == len(TRUTH)
    assert not {"ra", "dec"} & set(stamps)
    assert source.attrs()["pixel_scale"] == 0.1
    rows = nearest(stamps)
    radius = 1.1774 * TRUTH["sigma"].data[rows] * 0.1
    assert (stamps["flux_radius"] > 0.95 * radius).all()
    assert any("taken to lie on one grid" in note for note in source.notes)
    assert any("no RA and Dec" in note for note in source.notes)
    (tmp_path / "c.csv").write_text("ra,dec,z\n1,2,3\n")
    with pytest.raises(GalgenError, match=r"mosaic\.catalogue=.*no WCS"):
        opened(paths, pixel_scale=0.1, catalogue=tmp_path / "c.csv")
    with pytest.raises(GalgenError, match=r"300 x 239 px, not 300 x 240\. Give images of the same"):
        opened(write(tmp_path, {"red": RED, "blue": BLUE[1:]}, fits.Header()), pixel_scale=0.1)


def test_the_wcs_of_one_band_is_that_of_all(tmp_path):
    headers = {"red": fits.Header(), "blue": HEADER}
    source = opened(write(tmp_path, {"red": RED, "blue": BLUE}, headers))
    assert source.attrs()["pixel_scale"] == pytest.approx(SCALE)
    assert any(note.startswith("no WCS in red: the bands are taken") for note in source.notes)
    with pytest.raises(GalgenError, match=r"mosaic\.pixel_scale=0\.2: the WCS of the image says 0"):
        opened(write(tmp_path, {"red": RED, "blue": BLUE}), pixel_scale=0.2)
