"""Cutouts that cannot be used: the survey says why and what to do, or leaves a galaxy out."""

import h5py
import numpy as np
import pytest
import zarr
from astropy.io import fits

from galgen.data.surveys.cutouts.band_images import split_bands
from galgen.data.surveys.cutouts.cutout_files import CutoutFiles, Unusable
from galgen.data.surveys.cutouts.cutouts import Cutouts
from galgen.errors import GalgenError
from tests.data.cutout_scene import SIDE, galaxy, opened, write, write_bands


def refused(images, *parts: str, **options) -> None:
    """Check that opening a survey fails with a sentence that has some parts."""
    with pytest.raises(GalgenError) as error:
        opened(images, **options).attrs()
    assert [part in str(error.value) for part in parts] == [True] * len(parts), error.value


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a_{id}.fits", ["1", "22"]),
        ("*_{id}.fits", ["1", "22", "3"]),
        ("?_[0-9].fits", ["a_1", "b_3"]),
        ("**/{id}.fits", ["a_1", "a_22", "b_3", "x"]),
        ("{id}/x.fits", ["deep"]),
        ("", ["a_1", "a_22", "b_3"]),
    ],
)
def test_a_pattern_finds_names(tmp_path, pattern, names):
    for name in ("a_1", "a_22", "b_3", "deep/x"):
        write(tmp_path / f"{name}.fits", galaxy(0))
    (tmp_path / "notes.txt").write_text("no cutout")
    found = CutoutFiles("cutouts.images", str(tmp_path / pattern) if pattern else str(tmp_path))
    assert sorted(found.places) == names


def test_a_pattern_that_matches_nothing_says_what_is_there(tmp_path):
    patterns = write_bands(tmp_path)
    refused(f"{tmp_path}/f115w/nothing_{{id}}.fits", "no file matches", "f115w holds field_0.fits")
    refused(f"{tmp_path}/f444w/{{id}}.fits", "no file matches", "holds f115w, f150w")
    (tmp_path / "empty").mkdir()
    refused(f"{tmp_path}/empty", "the folder is empty. Give one that holds FITS or NumPy files")
    refused(f"{tmp_path}/empty/*.fits", f"no file matches, the folder {tmp_path}/empty is empty")
    refused(str(tmp_path), "the folder holds no FITS or NumPy files, but empty, f115w, f150w.")
    refused(f"{tmp_path}/cube.npy", "there is no such file or folder")
    refused({**patterns, "F444W": f"{tmp_path}/f444w/{{id}}.fits"}, "cutouts.images.F444W=")
    refused(f"{tmp_path}/f115w/{{id}}*.fits", "does not say where the galaxy's name ends")


def test_bands_without_a_galaxy_in_common(tmp_path):
    write_bands(tmp_path)
    images = {"a": f"{tmp_path}/f115w/*.fits", "b": f"{tmp_path}/f150w/*.fits"}
    refused(images, "no galaxy has files in two bands", "a: field_0", "b: field_0_v2", "{id}")


def test_an_id_twice(tmp_path):
    write_bands(tmp_path)
    write(tmp_path / "f115w" / "again" / "field_3.fits", galaxy(3))
    refused(f"{tmp_path}/f115w/**/field_{{id}}.fits", "1 id has several files, such as 3")
    np.save(tmp_path / "cube.npy", np.stack([galaxy(n) for n in range(3)]))
    np.save(tmp_path / "ids.npy", [4, 5, 4])
    refused(f"{tmp_path}/cube.npy", "4 stands in it twice", ids=f"{tmp_path}/ids.npy")
    np.save(tmp_path / "ids.npy", [4, 5])
    refused(f"{tmp_path}/cube.npy", "it has 2 values", "3 cutouts", ids=f"{tmp_path}/ids.npy")


@pytest.mark.parametrize(
    ("table", "columns", "parts"),
    [
        ("GALNO,z\n1,2\n2,3\n", {}, ["no column has a name of", "GALNO, which has 2 of the 8"]),
        ("key,z\nx,0.2\ny,0.3\n", {}, ["no column has a name of", "one of key, z"]),
        ("obj_no,z\n1,2\n", {"id": "obj_n"}, ["cutouts.columns.id=obj_n", "mean 'obj_no'?"]),
        ("id,z\n1,2\n1,3\n", {}, ["1 row repeats the id", "such as 1"]),
        ("id,other,z\n90,1,2\n91,2,3\n", {}, ["none of the 8 galaxies", "other, which has 2 of"]),
        ("id,z\n1,1\n1,2\n2,1\n2,3\n", {}, ["2 rows repeat the id", "such as 1"]),
        ("id,z\n90,0.1\n", {}, ["in its column id", "cutouts.columns.id=<name>, one of z."]),
        ("id\n90\n", {}, ["in its column id", "cutouts.columns.id=<name>."]),
        ("id,z\n1,far\n", {}, ["(redshift) does not hold numbers"]),
        ("id,mag_f115w\n1,bright\n", {}, ["(magnitude) does not hold numbers"]),
        ("id,z\n1,2\n", {"magnitude": {"F999W": "z"}}, ["no such band", "F115W, F150W"]),
    ],
)
def test_a_table_that_cannot_be_joined(tmp_path, table, columns, parts):
    (tmp_path / "t.csv").write_text(table)
    refused(write_bands(tmp_path), *parts, table=tmp_path / "t.csv", columns=columns)


def test_a_table_of_another_length_than_the_array(tmp_path):
    np.save(tmp_path / "cube.npy", np.stack([galaxy(n) for n in range(3)]))
    (tmp_path / "t.csv").write_text("id,z\n1,2\n2,3\n")
    parts = ["2 rows", "3 cutouts", "cutouts.ids="]
    refused(f"{tmp_path}/cube.npy", *parts, table=tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("array", "bands", "parts"),
    [
        (np.zeros((64, 64)), None, ["(64, 64)", "(galaxies, height, width)"]),
        (np.zeros((64, 64, 9)), None, ["the galaxies seem to be the last axis", "np.moveaxis"]),
        (np.zeros((9, 3, 32, 32)), None, ["3 axes", "cutouts.bands=["]),
        (np.zeros((9, 4, 32, 32)), ["g", "r"], ["none of its axes", "of 2, the number of bands"]),
        (np.zeros((9, 2, 32, 2)), ["g", "r"], ["may be the first or the last axis"]),
        (np.zeros((9, 8, 8), complex), None, ["does not hold numbers"]),
        (np.array([["a", "b"]] * 3), None, ["(3, 2)"]),
        (np.array([[[{}]]]), None, ["it holds Python objects, which", "Save plain numbers."]),
        (np.zeros((0, 8, 8)), None, ["no rows. Give one with galaxies."]),
    ],
)
def test_an_array_of_another_shape_or_type(tmp_path, array, bands, parts):
    np.save(tmp_path / "cube.npy", array)
    refused(f"{tmp_path}/cube.npy", *parts, bands=bands)


def test_arrays_that_do_not_go_together(tmp_path):
    for number, count in enumerate((3, 4)):
        np.save(tmp_path / f"{number}.npy", np.stack([galaxy(n) for n in range(count)]))
    images = {"g": f"{tmp_path}/0.npy", "r": f"{tmp_path}/1.npy"}
    refused(images, "different numbers of galaxies", "cutouts.images.r has 4")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["one"] = file["two"] = np.zeros((3, 8, 8))
    refused(
        f"{tmp_path}/c.h5", "one (3, 8, 8), two (3, 8, 8)", f"images='\"{tmp_path}/c.h5[one]\"'"
    )
    refused(f"{tmp_path}/c.h5[three]", "there is no such array. Give one of one, two")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04nothing")
    refused(f"{tmp_path}/broken.npz", "the file cannot be read")


def test_bands_that_the_cutouts_lack(tmp_path):
    patterns = write_bands(tmp_path)
    refused(patterns, "data.bands=[F444W]", "Give some of [F115W,F150W]", data_bands=["F444W"])
    refused(patterns, "cutouts.zero_point.F444W", zero_point={"F444W": 25.0})
    refused(patterns, "cutouts.rms: it is given for F115W", rms={"F115W": 0.1})
    refused(patterns, "Leave cutouts.bands out", bands=["g", "r"])


def test_units_and_pixels_that_differ_between_the_bands(tmp_path):
    patterns = write_bands(tmp_path)
    for number in range(8):
        path = tmp_path / "f150w" / f"field_{number}_v2.fits"
        write(path, galaxy(number), BUNIT="electron/s")
    refused(patterns, "the units differ", "F115W nJy, F150W electron / s", "cutouts.zero_point='{")
    points = {"F115W": 31.4, "F150W": 28.9}
    assert opened(patterns, zero_point=points).attrs()["unit"] == "nJy"
    for number in range(8):
        path = tmp_path / "f150w" / f"field_{number}_v2.fits"
        write(path, galaxy(number), CDELT2=0.06 / 3600, CDELT1=-0.06 / 3600)
    refused(patterns, "pixels of F150W are 0.06 arcsec", "not resample")


BAD = {
    "all of it is NaN": "no pixel has data",
    "it is constant": "its pixels have one value",
    "it is damaged": "the file is damaged",
    "it has three axes": "it has 3 axes and not (height, width)",
    "it is huge": "numbers of 32 bits cannot hold its pixels",
    "it is tiny": "numbers of 32 bits cannot hold its pixels",
    "it is two pixels wide": "smaller than 3 px",
    "it has other pixels": "another size on the sky",
    "it has another unit": "another unit than that of the first",
    "it has no image": "the file has no image",
}


@pytest.mark.parametrize("case", BAD)
def test_one_bad_cutout_is_left_out_with_the_reason(tmp_path, case):
    for number in range(4):
        write(tmp_path / f"{number}.fits", galaxy(number))
    path, image = tmp_path / "2.fits", galaxy(2)
    if case == "it is damaged":
        path.write_bytes(path.read_bytes()[:4000])
    elif case == "it has no image":
        fits.PrimaryHDU().writeto(path, overwrite=True)
    elif case == "it has other pixels":
        write(path, image, CDELT1=-1e-4, CDELT2=1e-4)
    elif case == "it has another unit":
        write(path, image, BUNIT="counts")
    else:
        images = {
            "all of it is NaN": np.full_like(image, np.nan),
            "it is constant": np.zeros_like(image),
            "it has three axes": np.stack([image] * 3),
            "it is huge": image.astype(float) * 1e40,
            "it is tiny": image.astype(float) * 1e-60,
            "it is two pixels wide": image[:, :2],
        }
        write(path, images[case])
    source = opened(str(tmp_path))
    arrays, reasons = source.draw(range(len(source)))
    assert arrays["galaxy_id"].tolist() == [0, 1, 3]
    assert list(reasons) == ["2"]
    assert BAD[case] in reasons["2"]


def test_all_cutouts_bad(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.fits").write_bytes(b"no FITS")
    refused(str(tmp_path), "no cutout can be used, such as 0: the file is damaged")
    for number in range(3):
        write(tmp_path / f"{number}.fits", np.stack([galaxy(number)] * 3))
    refused(str(tmp_path), "3 axes", "cutouts.bands=[<name>,...]")
    for number in range(3):
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(galaxy(0), name="A"), fits.ImageHDU(galaxy(0))]
        fits.HDUList(hdus).writeto(tmp_path / f"{number}.fits", overwrite=True)
    refused(
        str(tmp_path),
        "several extensions could be meant, A, 2. Name one",
        f"'\"{tmp_path}/{{id}}.fits[A]\"'.",
    )
    refused(f"{tmp_path}/{{id}}.fits[B]", "the file has no extension B")


def test_files_of_several_arrays_are_told_how_to_name_one(tmp_path):
    for number in range(3):
        np.savez(tmp_path / f"{number}.npz", sci=galaxy(number), err=galaxy(9))
    named = f"cutouts.images='\"{tmp_path}/{{id}}.npz[sci]\"'."
    refused(str(tmp_path), "several arrays could be meant, sci, err. Name one", named)
    assert len(opened(f"{tmp_path}/{{id}}.npz[sci]")) == 3
    options = {"psf": f"{tmp_path}/0.npz"}
    refused(f"{tmp_path}/{{id}}.npz[sci]", f"cutouts.psf='\"{tmp_path}/0.npz[sci]\"'.", **options)


@pytest.mark.parametrize("kind", ["fits", "h5", "zarr"])
def test_a_file_that_has_gone_stops_the_preparation(tmp_path, kind):
    path = tmp_path / "before" / ("" if kind == "fits" else f"cube.{kind}")
    path.parent.mkdir(exist_ok=True)
    cube = np.stack([galaxy(n) for n in range(3)])
    if kind == "fits":
        for number, image in enumerate(cube):
            write(path / f"{number}.fits", image)
    elif kind == "zarr":
        zarr.save_array(str(path), cube)
    else:
        with h5py.File(path, "w") as file:
            file["image"] = cube
    source = opened(str(path))
    (tmp_path / "before").rename(tmp_path / "after")
    with pytest.raises(GalgenError, match=r"^cutouts.images=.*: there is no file .* any more. Br"):
        source.draw(range(3))


def test_bands_half_a_pixel_apart(tmp_path):
    patterns = write_bands(tmp_path)
    write(tmp_path / "f150w" / "field_3_v2.fits", galaxy(3, SIDE + 1))
    _, reasons = opened(patterns).draw(range(8))
    assert reasons == {"3": "its bands have cutouts of odd and of even size, half a pixel apart"}


def test_noise_that_lacks_a_file_or_has_another_shape(tmp_path):
    for number in range(3):
        write(tmp_path / "sci" / f"{number}.fits", galaxy(number))
    write(tmp_path / "rms" / "1.fits", np.ones((9, 9), np.float32))
    write(tmp_path / "rms" / "2.fits", np.ones((SIDE, SIDE), np.float32))
    images, rms = f"{tmp_path}/sci/{{id}}.fits", f"{tmp_path}/rms/{{id}}.fits"
    _, reasons = opened(images, rms=rms).draw(range(3))
    assert reasons == {
        "0": "it has no file of cutouts.rms",
        "1": "its file of cutouts.rms has another shape than the cutout",
    }
    (tmp_path / "rms" / "2.fits").rename(tmp_path / "rms" / "x2.fits")
    (tmp_path / "rms" / "1.fits").unlink()
    refused(images, "cutouts.rms: none of its files has the name of a galaxy", rms=rms)


@pytest.mark.parametrize(
    "options",
    [
        {"sky": "mean"},
        {"rms": -1.0},
        {"rms": 1.0, "weight": "w.fits"},
        {"rms": {"a": 1.0, "b": "r.fits"}},
        {"pixel_scale": 0.0},
        {"columns": {"z": "z"}},
        {"columns": 5},
        {"bands": []},
        {"bands": {"g": 1}},
        {"weight": 0.1},
        {"psf": ["a", "b"]},
        {"images": ["r", "g"]},
        {"images": {}},
        {"images": {"g": 1.0}},
        {"rms": float("inf")},
        {"pixel_scale": float("inf")},
        {"zero_point": "x"},
        {"zero_point": True},
        {"zero_point": float("nan")},
        {"zero_point": {"g": float("inf")}},
        {"zero_point": [25.0, 26.0]},
        {"unit": ["nJy", "nJy"]},
        {"unit": 5},
    ],
)
def test_an_argument_out_of_range(options):
    key = next(iter(options))
    with pytest.raises(ValueError, match=rf"^cutouts\.{key}[=.].*: .*\.$"):
        Cutouts(**{"images": "folder", **options})


def test_values_of_several_bands_are_asked_for_by_band():
    with pytest.raises(ValueError, match=r"cutouts.zero_point='{<band>: 25.0, ...}'\.$"):
        Cutouts("folder", zero_point=[25.0, 26.0])
    with pytest.raises(ValueError, match=r"""cutouts.images='{<band>: "r", <band>: "g"}'\.$"""):
        Cutouts(["r", "g"])


def test_a_word_is_the_name_of_one_band(tmp_path):
    for number in range(3):
        write(tmp_path / f"{number}.fits", galaxy(number))
    assert opened(str(tmp_path), bands="F814W").attrs()["bands"] == ["F814W"]


def test_a_psf_that_cannot_be_used(tmp_path):
    patterns = write_bands(tmp_path)
    np.save(tmp_path / "psf.npy", np.zeros((2, 5, 5)))
    refused(patterns, "its sum is not positive", psf=f"{tmp_path}/psf.npy")
    np.save(tmp_path / "psf.npy", np.ones((3, 5, 5)))
    refused(patterns, "none of its axes has the length of 2", psf=f"{tmp_path}/psf.npy")
    refused(patterns, "there is no file", psf=f"{tmp_path}/none.npy")


def test_which_axis_is_that_of_the_bands():
    assert [plane.shape for plane in split_bands(np.zeros((3, 8, 9)), 3)] == [(8, 9)] * 3
    assert [plane.shape for plane in split_bands(np.zeros((8, 9, 3)), 3)] == [(8, 9)] * 3
    with pytest.raises(Unusable, match="first or the last"):
        split_bands(np.zeros((3, 8, 3)), 3)
