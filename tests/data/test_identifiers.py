"""Identifiers of galaxies keep every digit, or an error says so."""

import numpy as np
import pytest
from astropy.table import Table

from galgen.data.surveys.mosaic.source_table import read_catalogue
from galgen.errors import GalgenError


def test_a_table_without_identifiers_is_said(tmp_path):
    (tmp_path / "c.csv").write_text("ra,dec\n1,2\n")
    found = read_catalogue(tmp_path / "c.csv", {})
    assert found.galaxy_id is found.catalogue_id is None
    assert any("no column of c.csv has a name of identifiers" in note for note in found.notes)


BIG = 2**63 + 5
IDENTIFIERS = {
    "text beyond int64": ([f"{BIG}", "1"], None, [f"{BIG}", "1"]),
    "uint64 beyond int64": (np.array([BIG, 1], np.uint64), None, [f"{BIG}", "1"]),
    "uint64 within": (np.array([2**63 - 1, 1], np.uint64), [2**63 - 1, 1], None),
    "int64 beyond doubles": ([2**53 + 1, 2**53 + 3], [2**53 + 1, 2**53 + 3], None),
    "doubles": ([1005.0, 1006.0], [1005, 1006], None),
    "text of digits": (["1005", "1006"], [1005, 1006], None),
    "leading zeros": (["0012", "12"], None, ["0012", "12"]),
    "padded": (["a  ", "b"], None, ["a", "b"]),
    "repeated": ([3, 3], None, ["3", "3"]),
    "negative": ([-3, 3], [-3, 3], None),
    "bytes": (np.array([b"J1", b"J2"]), None, ["J1", "J2"]),
    "decimals": ([1.5, 2.5], None, ["1.5", "2.5"]),
    "big-endian": (np.array([70000, 5], ">i4"), [70000, 5], None),
}


@pytest.mark.parametrize("suffix", ["csv", "fits", "ecsv"])
@pytest.mark.parametrize("case", IDENTIFIERS)
def test_identifiers_are_exact(tmp_path, case, suffix):
    ids, integers, text = IDENTIFIERS[case]
    table = Table({"id": ids, "ra": [1.0, 2.0], "dec": [1.0, 2.0]})
    table.write(tmp_path / f"c.{suffix}")
    found = read_catalogue(tmp_path / f"c.{suffix}", {})
    assert (None if found.galaxy_id is None else found.galaxy_id.tolist()) == integers
    names = None if found.catalogue_id is None else [i.decode() for i in found.catalogue_id]
    assert names == text
    assert any("repeat" in note for note in found.notes) is (case == "repeated")


@pytest.mark.parametrize(("kind", "number"), [(np.float64, 2**53), (np.float32, 2**24)])
def test_identifiers_that_have_lost_digits_are_refused(tmp_path, kind, number):
    table = Table({"id": np.array([number + 2, 1], kind), "ra": [1.0, 2.0], "dec": [1.0, 2.0]})
    table.write(tmp_path / "c.fits")
    with pytest.raises(GalgenError, match=r"column id .* floating-point .* mosaic.columns.id"):
        read_catalogue(tmp_path / "c.fits", {})
    table["id"] = np.array([number - 1, 1], kind)
    table.write(tmp_path / "d.fits")
    assert read_catalogue(tmp_path / "d.fits", {}).galaxy_id.tolist() == [number - 1, 1]


def test_a_missing_identifier_is_said(tmp_path):
    (tmp_path / "c.csv").write_text("id,ra,dec\n,1,1\n1006,2,2\n")
    found = read_catalogue(tmp_path / "c.csv", {})
    assert found.catalogue_id.tolist() == [b"", b"1006"]
    assert any("1 row of c.csv has no id (id): all are numbered" in n for n in found.notes)


@pytest.mark.parametrize(
    "ids",
    [
        ["1.23764872e+18", "1.23764873e+18"],
        ["1.2376E+18", "1.2376E+18"],
        ["1237648720000000004.0", "1237648720000000128.0"],
        ["1e5", "100001"],
    ],
)
def test_identifiers_rounded_by_another_program_are_refused(tmp_path, ids):
    for name, table in {"c.csv": ids, "c.fits": np.array(ids)}.items():
        Table({"objid": table, "ra": [1.0, 2.0], "dec": [1.0, 2.0]}).write(tmp_path / name)
        with pytest.raises(GalgenError, match="holds rounded numbers, such as 1"):
            read_catalogue(tmp_path / name, {})


def test_names_with_an_exponent_are_names(tmp_path):
    (tmp_path / "c.csv").write_text("id,ra,dec\n1E5,1,1\n1A5,2,2\n")
    assert read_catalogue(tmp_path / "c.csv", {}).catalogue_id.tolist() == [b"1E5", b"1A5"]
