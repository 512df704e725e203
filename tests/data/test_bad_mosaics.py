"""Mosaics that cannot be used end in a sentence."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from galgen.data.preparation import prepare
from galgen.data.surveys.mosaic.mosaic import Mosaic
from galgen.data.surveys.mosaic.mosaic_source import MosaicSource
from galgen.errors import GalgenError
from tests.data.mosaic_scene import (
    HEADER,
    IMAGE,
    SHAPE,
    SIZE,
)


def with_header(**cards) -> fits.Header:
    header = HEADER.copy()
    for name, value in cards.items():
        header[name] = value
    return header


BAD_IMAGES = {
    "no WCS": (IMAGE, fits.Header(), "no celestial WCS"),
    "spectrum": (IMAGE, with_header(CTYPE1="WAVE", CTYPE2="LINEAR"), "WCS"),
    "oblong pixels": (IMAGE, with_header(PC1_1=5e-5, PC1_2=0, PC2_1=0, PC2_2=2e-5), "not square"),
    "cube": (np.stack([IMAGE, IMAGE]), HEADER, "3 axes"),
    "all NaN": (IMAGE * np.nan, HEADER, r"no data \(100.00% .* by values that are not finite"),
    "all zero": (IMAGE * 0, HEADER, r"no data \(100.00% .* empty border \(pixels of 0\)"),
    "constant": (IMAGE * 0 + 3, HEADER, r"no data \(100.00% .* \(pixels of 3\)"),
    "two pixels": (np.where(np.sort(IMAGE, None)[-3] < IMAGE, IMAGE, np.nan), HEADER, "too few"),
    "noise": (np.random.default_rng(0).normal(size=SHAPE), HEADER, "no source .* Lower mosaic"),
    "smaller than a stamp": (IMAGE[:30], HEADER, "image_size=32: .* 300 x 30 px"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_images_that_cannot_be_used(open_mosaic, case):
    image, header, words = BAD_IMAGES[case]
    with pytest.raises(GalgenError, match=words):
        open_mosaic(image, header=header)


@pytest.mark.parametrize("damage", ["missing", "text", "truncated", "truncated gzip", "empty"])
def test_damaged_images(tmp_path, damage):
    path = tmp_path / "damaged.fits"
    fits.writeto(tmp_path / "good.fits", IMAGE, HEADER)
    good = (tmp_path / "good.fits").read_bytes()
    contents = {"text": b"ra,dec\n1,2\n", "truncated": good[: len(good) // 2], "empty": b""}
    contents["truncated gzip"] = gzip.compress(good)[:100_000]
    if damage != "missing":
        path.write_bytes(contents[damage])
    with pytest.raises(GalgenError, match=r"damaged\.fits") as error:
        MosaicSource(Mosaic(path), SIZE).open()
    assert ("there is no file" in str(error.value)) is (damage == "missing")


@pytest.mark.parametrize("hdu", [5, "ERR", 0, "5"])
def test_extensions_that_are_not_there(tmp_path, hdu):
    path = tmp_path / "m.fits"
    images = [fits.ImageHDU(IMAGE, HEADER, name=name) for name in ("SCI", "WHT")]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    with pytest.raises(GalgenError, match=r"no image extension .*1 \(SCI, 300 x 240\), 2 \(WHT"):
        MosaicSource(Mosaic(path, hdu=hdu), SIZE).open()
    fits.PrimaryHDU().writeto(path, overwrite=True)
    with pytest.raises(GalgenError, match="has no image"):
        MosaicSource(Mosaic(path, hdu=hdu), SIZE).open()


@pytest.mark.parametrize("name", ["rms", "weight"])
def test_maps_of_other_pixels(open_mosaic, tmp_path, name):
    fits.writeto(tmp_path / "map.fits", IMAGE[:-1])
    with pytest.raises(GalgenError, match=f"mosaic.{name}=.* 300 x 239 px, the image 300 x 240"):
        open_mosaic(**{name: tmp_path / "map.fits"})
    with pytest.raises(GalgenError, match=f"mosaic.{name}=.*: there is no file"):
        open_mosaic(**{name: tmp_path / "none.fits"})


@pytest.mark.parametrize(
    "argument",
    [
        {"threshold": 0},
        {"min_pixels": 0},
        {"match_radius": -1.0},
        {"neighbours": "blur"},
        {"columns": {"redshfit": "z"}},
    ],
)
def test_arguments_out_of_range(argument):
    name = next(iter(argument))
    with pytest.raises(ValueError, match=rf"mosaic\.{name}"):
        Mosaic("m.fits", **argument)


def test_two_maps_are_one_too_many():
    with pytest.raises(GalgenError, match=r"mosaic\.rms=.*mosaic\.weight=.* is given too"):
        Mosaic("m.fits", rms="r.fits", weight="w.fits")


def test_the_image_is_not_replaced(open_mosaic, tmp_path):
    source = open_mosaic()
    with pytest.raises(GalgenError, match=r"the stamps are made of .*mosaic.fits"):
        prepare(source, tmp_path / "mosaic.fits", overwrite=True)
    assert source.given() == f"mosaic.image={tmp_path}/mosaic.fits"
    assert list(tmp_path.iterdir()) == [tmp_path / "mosaic.fits"]
