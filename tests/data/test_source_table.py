"""Catalogues of mosaics: positions, redshifts and identifiers reach the right galaxies."""

import json

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from astropy.wcs import WCS

from galgen.data.surveys.mosaic.source_table import read_catalogue
from galgen.errors import GalgenError
from tests.data.mosaic_scene import (
    HEADER,
    NOISE,
    SCALE,
    SHAPE,
    TRUTH,
    drawn,
    truth_of,
    write_catalogue,
)


@pytest.mark.parametrize("suffix", ["fits", "ecsv", "csv", "vot", "fits.gz", "csv.gz", "ecsv.gz"])
def test_a_catalogue_gives_galaxies_redshifts_and_identifiers(open_mosaic, tmp_path, suffix):
    rows = np.random.default_rng(4).permutation(len(TRUTH))[:10]
    table = TRUTH["id", "ra", "dec", "z"][rows]
    table["z"][:3] = [-99, 9.99, 0.0]
    table.add_row([1, 150.0, 2.2, 1.0])  # no galaxy there
    table.add_row([2, 10.0, -40.0, 1.0])
    path = tmp_path / f"catalogue.{suffix}"
    write_catalogue(table, path)
    source = open_mosaic(catalogue=path)
    stamps = drawn(source)
    truth, distance = truth_of(stamps)
    assert distance.max() < 0.3
    np.testing.assert_array_equal(stamps["galaxy_id"], truth["id"])
    assert set(stamps["galaxy_id"]) == set(TRUTH["id"][rows])
    unknown = np.isin(truth["id"], TRUTH["id"][rows[:3]])
    expected = np.where(unknown, np.nan, truth["z"]).astype(np.float32)
    np.testing.assert_array_equal(stamps["redshift"], expected)
    notes = " ".join(source.notes)
    assert "10 of the catalogue's 11 galaxies" in notes
    assert "1 lie outside" in notes
    assert "1 catalogue entries have no detection" in notes
    assert notes.endswith("ids 1")
    assert json.loads(source.attrs()["source_files"]).keys() == {"mosaic.fits", path.name}


@pytest.mark.parametrize("axes", [("GLON-TAN", "GLAT-TAN"), ("ELON-TAN", "ELAT-TAN")])
def test_a_catalogue_and_an_image_in_other_coordinates(open_mosaic, tmp_path, axes):
    header = HEADER.copy()
    header["CTYPE1"], header["CTYPE2"] = axes
    del header["RADESYS"]
    sky = WCS(header).pixel_to_world(TRUTH["x"], TRUTH["y"]).icrs
    table = Table({"id": TRUTH["id"], "ra": sky.ra, "dec": sky.dec})
    table.write(tmp_path / "c.fits")
    stamps = drawn(open_mosaic(header=header, catalogue=tmp_path / "c.fits"))
    truth, distance = truth_of(stamps)
    assert len(truth) == len(TRUTH)
    assert distance.max() < 0.3
    np.testing.assert_array_equal(stamps["galaxy_id"], truth["id"])
    order = [list(TRUTH["id"]).index(number) for number in truth["id"]]
    there = SkyCoord(stamps["ra"], stamps["dec"], unit="deg")
    assert there.separation(sky[order]).arcsec.max() < 0.3 * SCALE


def test_files_of_one_name_are_told_apart(open_mosaic, tmp_path):
    (tmp_path / "maps").mkdir()
    fits.writeto(tmp_path / "maps" / "mosaic.fits", np.full(SHAPE, NOISE))
    attrs = open_mosaic(rms=tmp_path / "maps" / "mosaic.fits").attrs()
    assert json.loads(attrs["source_files"]).keys() == {"mosaic.fits (image)", "mosaic.fits (rms)"}


def coordinates(kind: str) -> dict:
    """The true positions in other units and under other names."""
    sky = SkyCoord(TRUTH["ra"], TRUTH["dec"])
    return {
        "sexagesimal": lambda: {
            "RAJ2000": sky.ra.to_string("hour", sep=":", precision=4),
            "DEJ2000": sky.dec.to_string("deg", sep=":", precision=3),
        },
        "letters": lambda: {
            "ra": sky.ra.to_string("hour", precision=4),
            "dec": sky.dec.to_string("deg", precision=3),
        },
        "hours": lambda: {"ALPHA_J2000": sky.ra.hour * u.hourangle, "DELTA_J2000": sky.dec},
        "time": lambda: {"ra": sky.ra.hour * u.hour, "dec": sky.dec},
        "radians": lambda: {"RA": sky.ra.rad * u.rad, "DEC": sky.dec.rad * u.rad},
        "no unit": lambda: {"ra_deg": sky.ra.deg, "dec_deg": sky.dec.deg},
        "named": lambda: {"east": sky.ra.deg, "north": sky.dec.deg},
        "ucd": lambda: {"east": sky.ra, "north": sky.dec},
    }[kind]()


KINDS = ["sexagesimal", "letters", "hours", "time", "radians", "named", "ucd"]


@pytest.mark.parametrize("kind", [*KINDS, "no unit"])
def test_coordinates_in_all_units(tmp_path, kind):
    table = Table(coordinates(kind))
    if kind == "ucd":
        table["east"].meta["ucd"], table["north"].meta["ucd"] = "pos.eq.ra;meta.main", "POS.EQ.DEC"
    path = tmp_path / "c.ecsv"
    table.write(path)
    columns = {"ra": "east", "dec": "north"} if kind == "named" else {}
    found = read_catalogue(path, columns)
    np.testing.assert_allclose(found.ra, TRUTH["ra"], atol=1e-6)
    np.testing.assert_allclose(found.dec, TRUTH["dec"], atol=1e-6)
    assert found.galaxy_id is None
    assert any("has a name of redshifts, they are unknown" in note for note in found.notes)


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"z_spec": 1, "zBest": 2, "mag": 3}, "zBest"),
        ({"PHOTOZ": 2, "z_err": 1}, "PHOTOZ"),
        ({"r": 1, "i": 1, "z": 1, "ZPHOT": 2}, "ZPHOT"),
        ({"r": 1, "i": 1, "z": 1}, None),
    ],
)
def test_which_column_is_the_redshift(tmp_path, columns, name):
    table = Table({"ra": [10.0], "dec": [1.0], **{key: [value] for key, value in columns.items()}})
    table.write(tmp_path / "c.csv")
    found = read_catalogue(tmp_path / "c.csv", {})
    np.testing.assert_array_equal(found.redshift, [np.nan if name is None else columns[name]])


@pytest.mark.parametrize(
    ("ids", "integers", "text"),
    [
        ([3, 1], [3, 1], None),
        ([3, 3], None, [b"3", b"3"]),
        (["a", "bcd"], None, [b"a", b"bcd"]),
    ],
)
def test_identifiers(tmp_path, ids, integers, text):
    table = Table({"ra": [10.0, -11.0], "dec": [1.0, 1.0], "ID": ids})
    table["z"] = MaskedColumn([0.5, 0.7], mask=[True, False])
    table.write(tmp_path / "c.fits")
    found = read_catalogue(tmp_path / "c.fits", {})
    assert integers is None or found.galaxy_id.tolist() == integers
    assert text is None or found.catalogue_id.tolist() == text
    np.testing.assert_allclose(found.redshift, [np.nan, 0.7])
    np.testing.assert_array_equal(found.ra, [10, 349])


def test_galaxies_without_integer_identifiers_are_numbered(open_mosaic, tmp_path):
    table = TRUTH["ra", "dec"][:7]
    table["name"] = [f"galaxy {number}" for number in range(7)]
    table.write(tmp_path / "c.fits")
    stamps = drawn(open_mosaic(catalogue=tmp_path / "c.fits"))
    np.testing.assert_array_equal(stamps["galaxy_id"], np.arange(7))
    truth, _ = truth_of(stamps)
    expected = [f"galaxy {list(TRUTH['id']).index(number)}".encode() for number in truth["id"]]
    assert stamps["catalogue_id"].tolist() == expected
    assert np.isnan(stamps["redshift"]).all()


def test_matching_is_one_to_one_and_the_nearest_wins(open_mosaic, tmp_path):
    table = TRUTH["id", "ra", "dec", "z"][:3]
    table.add_row([1, table["ra"][0] + 0.15 / 3600, table["dec"][0], 9.0])
    table.write(tmp_path / "c.fits")
    source = open_mosaic(catalogue=tmp_path / "c.fits")
    assert set(drawn(source)["galaxy_id"]) == set(TRUTH["id"][:3])
    assert source.notes[-1].startswith("1 catalogue entries are left out, their detection is")
    assert source.notes[-1].endswith("another entry's: ids 1")


BAD_CATALOGUES = {
    "empty": ("ra,dec\n", {}, "no rows"),
    "nothing": ("", {}, "c.csv"),
    "not a table": ("\x00\xff\x01", {}, "cannot be read as a table"),
    "no position": ("a,b\n1,2\n", {}, "mosaic.columns.ra=<name>, one of a, b"),
    "two": ("RA,ra,dec\n1,1,2\n", {}, "RA, ra could each be the ra. Give mosaic.columns.ra="),
    "redshifts": ("ra,dec,zspec,zphot\n1,2,3,4\n", {}, "zspec, zphot could each be the redshift"),
    "no such column": ("ra,dec\n1,2\n", {"redshift": "w"}, "mosaic.columns.redshift=w: .*ra, dec"),
    "not angles": ("ra,dec\nx,y\n", {}, "does not hold angles"),
    "out of range": ("ra,dec\n4000,100\n", {}, r"column ra \(ra\) does not hold angles of -180"),
    "redshift in words": (
        "ra,dec,z\n1,2,far\n",
        {},
        r"column z \(redshift\) does not hold numbers",
    ),
    "elsewhere": ("ra,dec\n1,2\n3,4\n", {}, "none of its 2 galaxies .*0 of them are in the image"),
}


@pytest.mark.parametrize("case", BAD_CATALOGUES)
def test_catalogues_that_cannot_be_used(open_mosaic, tmp_path, case):
    text, columns, words = BAD_CATALOGUES[case]
    (tmp_path / "c.csv").write_text(text, encoding="latin-1")
    with pytest.raises(GalgenError, match=words):
        open_mosaic(catalogue=tmp_path / "c.csv", columns=columns)
    with pytest.raises(GalgenError, match=r"there is no file .*none\.csv\. Correct the path\."):
        open_mosaic(catalogue=tmp_path / "none.csv")


def test_units_that_are_no_angles(tmp_path):
    Table({"ra": [1.0] * u.m, "dec": [1.0]}).write(tmp_path / "c.ecsv")
    with pytest.raises(GalgenError, match=r"column ra \(ra, unit m\) does not hold angles"):
        read_catalogue(tmp_path / "c.ecsv", {})
