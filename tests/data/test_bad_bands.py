"""Options of several bands that do not fit together end in a sentence."""

import re

import numpy as np
import pytest
from astropy.io import fits

from galgen.data.surveys.mosaic.mosaic import Mosaic
from galgen.data.surveys.mosaic.mosaic_source import MosaicSource
from galgen.errors import GalgenError
from tests.data.band_scene import BLUE, RED, opened, write
from tests.data.mosaic_scene import HEADER, IMAGE, SIZE

TWO = {"red": "r.fits", "blue": "b.fits"}
LACKING = ["data=mosaic", "data.bands=[red,q]", "data.file=s.h5", "prepare.processes=1"]
BAD = {
    "no image": ({}, r"mosaic\.image=null: there is no image\. Give mosaic\.image=<FITS file>"),
    "both": ({"image": "m.fits", "images": TWO}, r"mosaic\.image=m\.fits: mosaic\.images is given"),
    "bands as image": (
        {"image": TWO},
        r"mosaic\.image=\{red: r\.fits, .*Give them as mosaic\.imag",
    ),
    "image as bands": (
        {"images": "m.fits"},
        r"mosaic\.images=m\.fits: it is not one file for each",
    ),
    "no file": ({"images": {"red": None}}, r"mosaic\.images\.red=\[null\]: it is not a FITS file"),
    "no tile": ({"images": {"red": []}}, r"mosaic\.images\.red=\[\]: it is not a FITS file"),
    "tiles": (
        {"images": {"red": ["1.fits", "2.fits"], "blue": "b.fits"}},
        r"mosaic\.images=\{red: \[1\.fits, 2\.fits\], blue.*tiles \(2 of red, 1 of blue\)",
    ),
    "beyond": (
        {"images": TWO, "rms": {"red": "1.fits", "bleu": "2.fits"}},
        r"mosaic\.rms=\{red.*: mosaic\.images has no band bleu\. Give one value for each of red",
    ),
    "lacking": (
        {"images": TWO, "zero_point": {"red": 25}},
        r"mosaic\.zero_point=\{red: 25\}: it lacks blue\. Give every band of mosaic\.images, null",
    ),
    "one map": (
        {"images": TWO, "weight": "w.fits"},
        r"mosaic\.weight=w\.fits: mosaic\.images has 2 bands\. Give one for each, mosaic\.w",
    ),
    "maps of one image": (
        {"image": "m.fits", "rms": {"red": "r.fits"}},
        r"mosaic\.rms=\{red: r\.fits\}: mosaic\.image is of one band",
    ),
    "both maps": (
        {"images": TWO, "rms": {"red": "1", "blue": None}, "weight": {"red": "2", "blue": "3"}},
        r"mosaic\.rms\.red=1: mosaic\.weight\.red=2 is given too",
    ),
    "a name": ({"images": TWO, "band": "red"}, r"mosaic\.band=red: the bands have their names"),
    "detect": (
        {"images": TWO, "detect": "green"},
        r"mosaic\.detect=green: it can be sum, red, blue",
    ),
    "scale": ({"image": "m.fits", "pixel_scale": 0}, r"mosaic\.pixel_scale=0: it must be positive"),
    "zero point": (
        {"images": TWO, "zero_point": {"red": 25, "blue": "AB"}},
        r"mosaic\.zero_point=\{red: 25, blue: AB\}: AB is not a number",
    ),
    "extension": (
        {"images": {"red": "m.fits[SCI]", "blue": "b.fits"}, "hdu": 2},
        r"mosaic\.hdu\.red=2: mosaic\.images\.red names another extension, SCI",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_options_that_do_not_fit(case):
    options, words = BAD[case]
    with pytest.raises((GalgenError, ValueError), match=words):
        Mosaic(**options)


@pytest.mark.parametrize(
    ("wanted", "band", "sentence"),
    [
        (["red", "q"], None, "the mosaic has no band q. Give some of [red,blue]."),
        (["red", "q"], "red", "the mosaic has no band q. Give some of [red]."),
        (["red", "blue"], "unknown", "the mosaic has no band red. Give some of [unknown]."),
    ],
)
def test_bands_that_the_mosaic_lacks(tmp_path, wanted, band, sentence):
    paths = write(tmp_path, {"red": RED, "blue": BLUE})
    images = {"image": paths["red"], "band": band} if band else {"images": paths}
    with pytest.raises(
        GalgenError, match=re.escape(f"data.bands=[{','.join(wanted)}]: {sentence}")
    ):
        MosaicSource(Mosaic(**images, zero_point=25.0), SIZE, bands=wanted).open()


def with_unit(unit: str) -> fits.Header:
    return fits.Header({**HEADER, "BUNIT": unit})


def test_units_that_differ_are_refused(tmp_path):
    images = {"red": RED, "blue": BLUE}
    paths = write(tmp_path, images, {"red": with_unit("nJy"), "blue": with_unit("counts/s")})
    with pytest.raises(
        GalgenError,
        match=r"mosaic\.images\.blue=.*blue\.fits: its unit is ct / s, that of red nJy\. Convert",
    ):
        opened(paths)


NO_BUNIT = "the header of blue has no BUNIT; its unit is taken to be that of the other bands, "


@pytest.mark.parametrize(
    ("unit", "cards", "given", "point", "sentence"),
    [
        ("nJy", {}, None, 31.4, "blue: zero point 31.4000 mag (AB), from the unit nJy"),
        ("uJy", {}, None, 23.9, "blue: zero point 23.9000 mag (AB), from the unit uJy"),
        ("adu", {}, None, None, "blue: the zero point is unknown, magnitudes are NaN"),
        ("nJy", {"ABMAGZP": 25.0}, None, 25.0, "blue: the unit nJy would give 31.4000"),
        ("nJy", {}, 30.0, 30.0, "blue=30.0 is used, but the unit nJy gives 31.4000"),
    ],
)
def test_a_unit_that_is_taken_over_brings_its_zero_point(
    tmp_path, unit, cards, given, point, sentence
):
    header = fits.Header({**HEADER, "COMMENT": "no unit", **cards})
    paths = write(tmp_path, {"red": RED, "blue": BLUE}, {"red": with_unit(unit), "blue": header})
    mosaic = Mosaic(images=paths, zero_point={"red": None, "blue": given})
    notes = mosaic.check()
    facts = mosaic.tiles[0].facts
    assert facts.unit == unit
    assert facts.zero_points[1] == (None if point is None else pytest.approx(point, abs=1e-3))
    assert any(note.startswith(NO_BUNIT + unit) for note in notes)
    assert any(sentence in note for note in notes), notes


def test_files_that_cannot_be_used_are_named_by_their_band(tmp_path):
    paths = write(tmp_path, {"red": RED, "blue": np.full_like(BLUE, np.nan)})
    with pytest.raises(
        GalgenError, match=r"mosaic\.images\.blue=.*: it has no data \(blue: 100\.0"
    ):
        opened(paths)
    detected = r"images\.blue=.* no data, and is the band of detection \("
    with pytest.raises(GalgenError, match=detected):
        opened(paths, detect="blue")
    with pytest.raises(GalgenError, match=r"mosaic\.images\.blue=.*: it has no data \(blue: 100"):
        opened(paths, detect="red")
    with pytest.raises(GalgenError, match=r"mosaic\.images\.blue=.*none\.fits: there is no file"):
        opened({**paths, "blue": tmp_path / "none.fits"})
    with pytest.raises(
        GalgenError, match=r"mosaic\.images\.blue=.*the same as mosaic\.images\.red"
    ):
        opened({"red": paths["red"], "blue": paths["red"]})
    copy = write(tmp_path, {"copy": RED})["copy"]
    with pytest.raises(GalgenError, match=r"its pixels are those of mosaic\.images\.red"):
        opened({"red": paths["red"], "blue": copy})
    maps = write(tmp_path, {"map": IMAGE[:-1]})
    with pytest.raises(GalgenError, match=r"mosaic\.rms\.red=.* 300 x 239 px, the image 300 x 240"):
        opened({"red": paths["red"], "blue": write(tmp_path, {"b": BLUE})["b"]},
               rms={"red": maps["map"], "blue": None})  # fmt: skip


def test_the_command_asks_for_an_image(command):
    code, printed = command("prepare", "data=mosaic")
    assert code == 1
    assert "mosaic.image=null: there is no image. Give mosaic.image=<FITS file>" in printed
    assert "Traceback" not in printed


def test_the_command_refuses_bands_that_the_mosaic_lacks(tmp_path, command):
    paths = write(tmp_path, {"red": RED, "blue": BLUE})
    images = ", ".join(f"{band}: {path}" for band, path in paths.items())
    code, printed = command("prepare", f"mosaic.images={{{images}}}", *LACKING)
    assert code == 1
    assert "galgen: data.bands=[red,q]: the mosaic has no band q." in printed
