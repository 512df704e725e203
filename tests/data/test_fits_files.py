"""Which extension of which file is meant, and that no image is given twice."""

import errno
import os

import numpy as np
import pytest
from astropy.io import fits

from galgen.data.surveys.fits_files import file_and_part
from galgen.data.surveys.mosaic.band_image import BandImage
from galgen.data.surveys.mosaic.mosaic import Mosaic
from galgen.data.surveys.mosaic.source_table import read_catalogue
from galgen.errors import GalgenError, Unreadable

SHAPE = 40, 50
IMAGES = {
    name: np.random.default_rng(seed).uniform(1, 2, SHAPE)
    for seed, name in enumerate(
        ["SCI", "ERR", "WHT", "DQ", "RMS", "IVM", "VAR", "A", "B", "CON", "VARIANCE", "VAR_RNOISE"]
    )
}
HEADER = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 1.0})
HEADER.update({"CRPIX1": 150.0, "CRPIX2": 150.0, "CDELT1": -2e-5, "CDELT2": 2e-5, "BUNIT": "uJy"})


@pytest.fixture
def mef(tmp_path, monkeypatch):
    """Return a function that writes a file of some extensions."""
    monkeypatch.chdir(tmp_path)

    def write(*names: str, file: str = "m.fits") -> str:
        hdus = [fits.ImageHDU(IMAGES[name.strip("_")], HEADER, name=name) for name in names]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / file, overwrite=True)
        return file

    return write


def only(*image, **arguments) -> BandImage:
    """Return the one image of a mosaic."""
    return Mosaic(*image, **arguments).tiles[0].images[0]


def numbers(**arguments) -> dict[str, int]:
    return {role: plane.number for role, plane in only(**arguments).facts.planes.items()}


def test_extensions_are_chosen_by_their_role(mef):
    file = mef("WHT", "ERR", "SCI", "DQ")
    assert numbers(image=file) == {"image": 3}
    assert numbers(image=file, rms=file, mask=file) == {"image": 3, "rms": 2, "mask": 4}
    assert numbers(image=file, weight=file) == {"image": 3, "weight": 1}
    file = mef("SCI", "RMS", "IVM")
    assert numbers(image=file, rms=file) == {"image": 1, "rms": 2}
    assert numbers(image=file, weight=file) == {"image": 1, "weight": 3}
    assert numbers(image=file, hdu=2) == {"image": 2}
    assert numbers(image=f"{file}[sci]", rms=f"{file}[2]") == {"image": 1, "rms": 2}
    assert numbers(image=f"{file}[SCI,1]") == {"image": 1}
    with pytest.raises(
        GalgenError, match=r"mosaic.hdu=2: mosaic.image names another extension, SCI"
    ):
        Mosaic(f"{file}[SCI]", hdu=2)


def test_an_image_among_maps_needs_no_name(mef):
    assert numbers(image=mef("A", "WHT", "DQ")) == {"image": 1}


def test_what_cannot_be_told_is_asked(mef):
    file = mef("A", "B")
    with pytest.raises(GalgenError, match=r"several .* 1 \(A, 50 x 40\), 2 \(B, .*m.fits\[1\]\"'"):
        numbers(image=file)
    with pytest.raises(GalgenError, match=r"mosaic.rms=m.fits: several extensions"):
        numbers(image=f"{file}[A]", rms=file)
    with pytest.raises(GalgenError, match=r"mosaic.rms=w.fits: no extension .* Give mosaic.weight"):
        numbers(image=mef("SCI"), rms=mef("WHT", file="w.fits"))


def test_a_map_of_another_name_is_taken_when_named_and_said(mef):
    mef("SCI", "ERR", "WHT")
    facts = only("m.fits", rms="m.fits[WHT]").facts
    assert any(
        "WHT of m.fits, whose name is that of one of mosaic.weight" in note for note in facts.notes
    )


def test_one_image_for_two_roles_is_refused(mef, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HERE", str(tmp_path))
    mef("SCI", "ERR")
    (tmp_path / "link.fits").symlink_to(tmp_path / "m.fits")
    os.link(tmp_path / "m.fits", tmp_path / "hard.fits")
    (tmp_path / "folder").mkdir()
    paths = "m.fits", "~/m.fits", "$HERE/m.fits", "./folder/../m.fits", "link.fits", "hard.fits"
    for path in (*paths, str(tmp_path / "m.fits")):
        for part in ("SCI", "1", "sci"):
            for role in ("rms", "weight", "mask"):
                with pytest.raises(
                    GalgenError, match=rf"mosaic.{role}=.* the same as mosaic.image"
                ):
                    numbers(image="m.fits[1]", **{role: f"{path}[{part}]"})
        assert numbers(image="m.fits", rms=path) == {"image": 1, "rms": 2}


def test_a_copy_of_the_image_is_refused(mef):
    mef("SCI")
    fits.writeto("copy.fits", IMAGES["SCI"].astype(">f8"))
    with pytest.raises(GalgenError, match=r"mosaic.rms=copy.fits: its pixels are those of mosaic"):
        numbers(image="m.fits", rms="copy.fits")
    mef("ERR", file="err.fits")
    mef("ERR", file="flag.fits")
    with pytest.raises(GalgenError, match=r"mosaic.mask=flag.fits: its pixels .* of mosaic.rms"):
        numbers(image="m.fits", rms="err.fits", mask="flag.fits[1]")


def test_maps_of_one_value_are_no_copies(mef):
    mef("SCI")
    fits.writeto("one.fits", np.ones(SHAPE))
    fits.writeto("ones.fits", np.ones(SHAPE))
    assert numbers(image="m.fits", rms="one.fits", mask="ones.fits")


def test_paths(mef, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HERE", str(tmp_path))
    mef("SCI", "ERR")
    mef("A", file="field[2].fits")
    mef("A", file="x.fits[1]")
    for path in ("~/m.fits", "$HERE/m.fits", "${HERE}/m.fits", "m.fits", "./m.fits"):
        assert file_and_part(path)[0].samefile(tmp_path / "m.fits")
        assert file_and_part(f"{path}[ERR]") == (file_and_part(path)[0], "ERR")
        assert numbers(image=path, rms=f"{path}[ERR]") == {"image": 1, "rms": 2}
    assert file_and_part("field[2].fits")[1] is None
    assert file_and_part("field[2].fits[A]")[1] == "A"
    assert file_and_part("x.fits[1]")[1] is None
    assert numbers(image="field[2].fits[A]") == {"image": 1}


@pytest.mark.parametrize("planes", [(1,), (1, 1)])
def test_cubes_of_one_plane(tmp_path, planes):
    header = HEADER.copy()
    header.update({"CTYPE3": "FREQ", "CRVAL3": 1e9, "CRPIX3": 1, "CDELT3": 1e6})
    fits.writeto(tmp_path / "m.fits", IMAGES["SCI"].reshape(*planes, *SHAPE), header)
    mosaic = only(tmp_path / "m.fits")
    assert mosaic.facts.shape == SHAPE
    assert mosaic.facts.pixel_scale == pytest.approx(0.072)
    section = slice(3, 9), slice(4, 30)
    np.testing.assert_array_equal(mosaic.read(section)[0], IMAGES["SCI"][section])


def test_keywords_of_the_first_header(tmp_path):
    primary = fits.PrimaryHDU(header=fits.Header({"FILTER": "F160W", "BUNIT": "ELECTRONS/S"}))
    primary.header.update({"PHOTFLAM": 1.9275602e-20, "PHOTPLAM": 15369.176})
    header = HEADER.copy()
    del header["BUNIT"]
    image = fits.ImageHDU(IMAGES["SCI"], header, name="SCI")
    fits.HDUList([primary, image]).writeto(tmp_path / "m.fits")
    facts = Mosaic(tmp_path / "m.fits").tiles[0].facts
    assert (facts.unit, facts.bands) == ("electron / s", ["F160W"])
    assert facts.zero_points == pytest.approx([25.946], abs=1e-3)
    facts = Mosaic(tmp_path / "m.fits", zero_point=25.0).tiles[0].facts
    assert facts.zero_points == [25]
    assert any("mosaic.zero_point=25.0 is used" in n and "25.9463" in n for n in facts.notes)


@pytest.mark.parametrize("name", ["VARIANCE", "VAR_RNOISE", "CON"])
def test_maps_that_galgen_takes_for_nothing(mef, name):
    file = mef("SCI", name)
    for role in ("rms", "weight", "mask"):
        with pytest.raises(GalgenError, match=r"no extension has a name of the \w+ map"):
            numbers(image=file, **{role: file})


@pytest.mark.parametrize("role", ["rms", "weight"])
def test_variances_are_refused_by_their_name(mef, role):
    file = mef("SCI", "VARIANCE")
    with pytest.raises(GalgenError, match="the extension, VARIANCE, is that of variances"):
        numbers(image=file, **{role: f"{file}[VARIANCE]"})


def test_names_of_hyper_suprime_cam(tmp_path):
    kinds = {"IMAGE": 1, "MASK": 2, "VARIANCE": 3}
    pixels = np.random.default_rng(0).uniform(1, 2, (3, *SHAPE))
    hdus = [fits.ImageHDU(image, HEADER) for image in pixels]
    for hdu, kind in zip(hdus, kinds, strict=True):
        hdu.header["EXTTYPE"] = kind
    file = tmp_path / "m.fits"
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(file)
    assert numbers(image=file, mask=file) == {"image": 1, "mask": 2}
    assert numbers(image=f"{file}[image]", mask=f"{file}[MASK]") == {"image": 1, "mask": 2}
    with pytest.raises(GalgenError, match="the extension, VARIANCE, is that of variances"):
        numbers(image=file, rms=f"{file}[VARIANCE]")


@pytest.mark.parametrize(
    ("number", "said"), [(errno.EACCES, "permission denied"), (errno.ESTALE, "stale file handle")]
)
def test_a_file_that_the_system_refuses_is_not_called_damaged(mef, monkeypatch, number, said):
    file = mef("SCI")

    def refuse(*_, **__):
        raise OSError(number, "refused", file)

    monkeypatch.setattr(fits, "open", refuse)
    with pytest.raises(Unreadable, match=rf"mosaic\.image=m\.fits: .*{said}"):
        numbers(image=file)


@pytest.mark.parametrize(("key", "said"), [(None, False), ("CRPIX1", True), ("CRVAL2", True)])
def test_a_map_of_another_place_is_said(mef, key, said):
    file, other = mef("SCI"), mef("ERR", file="other.fits")
    if key:
        fits.setval(other, key, value=HEADER[key] + (3 if key == "CRPIX1" else 1), extname="ERR")
    notes = only(image=file, rms=other).facts.notes
    assert any("mosaic.rms: the WCS of other.fits puts its centre" in n for n in notes) == said


def test_a_map_without_a_wcs_is_taken(mef, tmp_path):
    file = mef("SCI")
    fits.writeto(tmp_path / "bare.fits", IMAGES["ERR"])
    assert not any("WCS" in n for n in only(image=file, rms="bare.fits").facts.notes)


def test_a_vector_beside_the_image_is_not_meant(tmp_path):
    hdus = [fits.PrimaryHDU(IMAGES["SCI"], HEADER), fits.ImageHDU(np.ones(50))]
    fits.HDUList(hdus).writeto(tmp_path / "frame.fits")
    assert numbers(image=tmp_path / "frame.fits") == {"image": 0}


def test_folders_are_named(mef, tmp_path):
    file = mef("SCI")
    with pytest.raises(GalgenError, match=r"mosaic\.image=.*: this is a folder\. Give a file\."):
        numbers(image=tmp_path)
    with pytest.raises(GalgenError, match=r"mosaic\.catalogue=.*: this is a folder\. Give a file"):
        read_catalogue(tmp_path, {})
    with pytest.raises(GalgenError, match=r"mosaic\.rms=.*: this is a folder"):
        numbers(image=file, rms=tmp_path)


def test_a_catalogue_that_the_system_refuses_is_not_called_damaged(tmp_path, monkeypatch):
    (tmp_path / "c.fits").write_bytes(b"SIMPLE  =")

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "refused")

    monkeypatch.setattr(fits, "open", refuse)
    with pytest.raises(Unreadable, match=r"mosaic\.catalogue=.*: permission denied"):
        read_catalogue(tmp_path / "c.fits", {})
