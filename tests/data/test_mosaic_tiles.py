"""A sky in several tiles: the galaxies of an overlap are one each, and ids are unique."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galgen.data.surveys.mosaic.mosaic import Mosaic
from galgen.data.surveys.mosaic.mosaic_source import MosaicSource
from galgen.errors import GalgenError
from tests.data.band_scene import BLUE, RED, opened
from tests.data.mosaic_scene import SIZE, TRUTH, WORLD, drawn

PARTS = {"left": np.s_[:, :190], "right": np.s_[:, 110:], "top": np.s_[100:, 60:250]}


def write_tiles(folder: Path, name: str, image: np.ndarray, wcs: bool = True) -> list[str]:
    paths = []
    for part, where in PARTS.items():
        header = WORLD[where].to_header() if wcs else fits.Header()
        paths.append(str(folder / f"{name}_{part}.fits"))
        fits.writeto(paths[-1], image[where], header, overwrite=True)
    return paths


def in_one(paths: list[str], **options) -> MosaicSource:
    source = MosaicSource(Mosaic(paths, **{"zero_point": 25.0, **options}), SIZE)
    source.open()
    return source


def test_galaxies_in_an_overlap_are_counted_once(tmp_path, open_mosaic):
    whole = drawn(open_mosaic())
    source = in_one(write_tiles(tmp_path, "red", RED))
    stamps = drawn(source)
    assert len(stamps["x"]) == len(set(stamps["galaxy_id"])) == len(TRUTH)
    here, there = np.argsort(whole["ra"]), np.argsort(stamps["ra"])
    np.testing.assert_allclose(stamps["ra"][there], whole["ra"][here], atol=0.02 / 3600)
    np.testing.assert_allclose(stamps["flux"][there], whole["flux"][here], rtol=0.03, atol=30)
    assert set(stamps["tile"]) == {0, 1, 2}
    assert any("sources lie in two tiles, within 0.5 arcsec" in n for n in source.notes)
    # A galaxy is taken from the tile with more room around it.
    off = np.array([0, 110, 60])[stamps["tile"]]
    inside = (stamps["x"] + off > 40) & (stamps["x"] + off < 260)
    assert (stamps["x"][inside] > 20).all()
    assert len(json.loads(source.attrs()["source_files"])) == 3


def test_tiles_of_two_bands_and_a_catalogue(tmp_path):
    TRUTH["id", "ra", "dec", "z"].write(tmp_path / "c.csv", format="ascii.csv")
    images = {"red": write_tiles(tmp_path, "red", RED), "blue": write_tiles(tmp_path, "blue", BLUE)}
    source = opened(images, catalogue=tmp_path / "c.csv", detect="red")
    stamps = drawn(source)
    assert sorted(stamps["galaxy_id"]) == sorted(TRUTH["id"])
    assert stamps["image"].shape == (len(TRUTH), 2, SIZE, SIZE)
    rows = {number: row for row, number in enumerate(TRUTH["id"])}
    truth: Table = TRUTH[[rows[number] for number in stamps["galaxy_id"]]]
    np.testing.assert_allclose(stamps["redshift"], truth["z"], rtol=1e-6)
    np.testing.assert_allclose(stamps["flux"][:, 0], truth["flux"], rtol=0.06)
    alone, _ = source.draw([5])
    np.testing.assert_array_equal(alone["image"][0], stamps["image"][5])


def test_tiles_without_a_wcs_are_counted_each(tmp_path):
    source = in_one(write_tiles(tmp_path, "red", RED, wcs=False), pixel_scale=0.1)
    stamps = drawn(source)
    assert len(stamps["x"]) == len(set(stamps["galaxy_id"])) > len(TRUTH)
    assert any("a galaxy that lies in two of them is taken for two" in n for n in source.notes)


@pytest.mark.parametrize(
    ("filters", "listed"),
    [
        (["r", "i", "R"], "r in 2, i in 1"),
        (["r", None, "i"], "r in 1, i in 1"),
        (["r", "R", "r"], None),
        (["r", None, "CLEAR1L"], None),
    ],
)
def test_tiles_of_different_filters_are_told(tmp_path, filters, listed):
    paths = write_tiles(tmp_path, "red", RED)
    for path, name in zip(paths, filters, strict=True):
        if name is not None:
            fits.setval(path, "FILTER", value=name)
    blue = write_tiles(tmp_path, "blue", BLUE)
    alone = Mosaic(paths, zero_point=25.0).check()
    both = Mosaic(images={"blue": blue, "red": paths}, zero_point=25.0).check()
    for notes, where in ((alone, ""), (both, "red: ")):
        told = [note for note in notes if "different filters" in note]
        wanted = f"{where}the tiles have different filters in their headers: {listed}. Are they"
        assert len(told) == (listed is not None)
        assert all(note.startswith(wanted) for note in told), told


def test_tiles_that_do_not_fit_are_refused(tmp_path):
    paths = write_tiles(tmp_path, "red", RED)
    fits.setval(paths[2], "BUNIT", value="nJy")
    with pytest.raises(GalgenError, match=r"mosaic\.image=\[.*\]: tile 2 \(from 0\) is in nJy"):
        in_one(paths)
    write_tiles(tmp_path, "red", RED)
    fits.setval(paths[0], "MAGZERO", value=25.0)
    with pytest.raises(
        GalgenError, match=r"tile 1 .* has a zero point of None in unknown, the fir"
    ):
        in_one(paths, zero_point=None)
    with pytest.raises(GalgenError, match=r"mosaic\.rms=a\.fits: there are 3 tiles\. Give a list"):
        in_one(paths, rms="a.fits")
    with pytest.raises(GalgenError, match=r"mosaic\.rms=\[a\.fits\]: there are 3 tiles\. Give one"):
        in_one(paths, rms=["a.fits"])
    with pytest.raises(GalgenError, match=r"the same as mosaic\.image"):
        in_one([paths[0], paths[1], paths[0]])
