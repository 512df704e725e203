"""Tables of galaxies: encodings, masks, identifiers, shapes and units stay what they were."""

import bz2
import gzip

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable.tree import Resource, VOTableFile
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time

from galgen.data.surveys.mosaic.source_table import read_catalogue
from galgen.errors import GalgenError
from tests.data.conftest import CSV

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"]


def is_expected(path) -> bool:
    found = read_catalogue(path, {})
    assert found.galaxy_id.tolist() == [1005, 1006]
    np.testing.assert_allclose(found.ra, [150.1, 150.101])
    np.testing.assert_allclose(found.dec, [2.2, 2.3])
    np.testing.assert_allclose(found.redshift, [0.5, 0.6], rtol=1e-6)
    return True


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_in_all_encodings(tmp_path, encoding, ending):
    text = CSV.replace("\n", ending)
    if encoding in ("utf-8", "utf-8-sig", "latin-1"):  # a remark in another column
        text = text.replace("z" + ending, "z,seen" + ending).replace("0.5", "0.5,Präsepe")
        text = text.replace("0.6", "0.6,-")
    (tmp_path / "c.csv").write_bytes(text.encode(encoding))
    assert is_expected(tmp_path / "c.csv")


@pytest.mark.parametrize("name", ["c.txt", "c.dat", "c", "C.CSV", "c.tsv", "c.csv.gz", "c.csv.bz2"])
def test_text_in_all_formats(tmp_path, name):
    text = CSV
    if name in ("c.txt", "c.dat"):
        text = "# " + CSV.replace(",", "  ")
    if name == "c.tsv":
        text = CSV.replace(",", "\t")
    pack = {"gz": gzip.compress, "bz2": bz2.compress}.get(name.split(".")[-1], bytes)
    (tmp_path / name).write_bytes(pack(("\ufeff" * (name == "c") + text).encode()))
    assert is_expected(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        "# " + CSV,
        "#" + CSV,
        "# made, by hand\n# in 2020\n" + CSV,
        "# made by hand\n#" + CSV,
        CSV.replace(",", ";"),
        CSV.replace(",", " , "),
        '"id","ra","dec","z"\n"1005","150.1","2.2","0.5"\n"1006","150.101","2.3","0.6"\n',
    ],
)
def test_headings_of_csv(tmp_path, text):
    (tmp_path / "c.csv").write_text(text)
    assert is_expected(tmp_path / "c.csv")


ROWS_WITHOUT = {
    "sexagesimal": "7,,,1.7\n8,00:00:01.0,+00:00:05,0.5\n",
    "one of two": "7,00:00:02,,1.7\n8,00:00:01.0,+00:00:05,0.5\n",
    "dashes": "7,-,-,1.7\n8,00:00:01.0,+00:00:05,0.5\n",
    "words": "7,unknown,nan,1.7\n8,00:00:01.0,+00:00:05,0.5\n",
    "minutes": "7,00:61:00,00:75:00,1.7\n8,00:00:01.0,+00:00:05,0.5\n",
    "degrees": "7,nan,nan,1.7\n8,0.00416666666,0.00138888889,0.5\n",
    "empty": "7,,,1.7\n8,0.00416666666,0.00138888889,0.5\n",
    "-99": "7,-99,-99,1.7\n8,0.00416666666,0.00138888889,0.5\n9,1,1,1\n",
    "-999": "7,-999,-999,1.7\n8,0.00416666666,0.00138888889,0.5\n9,1,1,1\n",
}


@pytest.mark.parametrize("case", ROWS_WITHOUT)
def test_rows_without_a_position_are_left_out_and_listed(tmp_path, case):
    (tmp_path / "c.csv").write_text("id,ra,dec,z\n" + ROWS_WITHOUT[case])
    found = read_catalogue(tmp_path / "c.csv", {})
    assert found.galaxy_id[0] == 8
    assert 7 not in found.galaxy_id
    np.testing.assert_allclose(found.ra[0], 15 / 3600, atol=1e-9)
    np.testing.assert_allclose(found.dec[0], 5 / 3600, atol=1e-9)
    assert len(found.redshift) == len(found.ra) == len(found.row)
    assert found.row[0] == 1
    assert any("1 rows of c.csv are left out" in n and n.endswith("ids 7") for n in found.notes)


@pytest.mark.parametrize("suffix", ["fits", "ecsv", "vot"])
def test_masked_sexagesimal_positions_are_left_out(tmp_path, suffix):
    table = Table({"id": [7, 8]})
    table["ra"] = MaskedColumn(["", "00:00:01.0"], mask=[True, False])
    table["dec"] = MaskedColumn(["", "+00:00:05"], mask=[True, False])
    path = tmp_path / f"c.{suffix}"
    table.write(path, **({"format": "votable"} if suffix == "vot" else {}))
    assert read_catalogue(path, {}).galaxy_id.tolist() == [8]


@pytest.mark.parametrize("word", ["", "-", "nan", "NaN", "99", "-99", "null", "N/A", "--", "inf"])
def test_redshifts_that_are_no_numbers_are_unknown(tmp_path, word):
    (tmp_path / "c.csv").write_text(f"id,ra,dec,z\n1,1,1,{word}\n2,2,2,0.5\n")
    np.testing.assert_allclose(read_catalogue(tmp_path / "c.csv", {}).redshift, [np.nan, 0.5])


def test_masked_numbers_are_unknown(tmp_path):
    columns = [
        fits.Column("id", "J", array=[1, 2]),
        fits.Column("ra", "D", array=[1.0, 2.0], unit="DEG"),
        fits.Column("dec", "D", array=[1.0, 2.0], unit="Degrees"),
        fits.Column("z", "J", array=[-1, 5000], null=-1),
    ]
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.writeto(tmp_path / "raw.fits")
    scaled = (tmp_path / "raw.fits").read_bytes()
    card, blank = b"TNULL4  =                   -1", b"END" + b" " * 77
    assert card in scaled
    scale = b"TSCAL4  = 1E-4".ljust(80) + blank
    start = scaled.index(card)
    end = scaled.index(blank, start)
    (tmp_path / "c.fits").write_bytes(scaled[:end] + scale + scaled[end + len(scale) :])
    np.testing.assert_allclose(
        read_catalogue(tmp_path / "c.fits", {}).redshift, [np.nan, 0.5], rtol=1e-6
    )


def positions(**more) -> Table:
    return Table({"id": [1005, 1006], "ra": [150.1, 150.101], "dec": [2.2, 2.3], "z": [0.5, 0.6]})


def test_columns_of_one_value_a_cell(tmp_path):
    table = positions()
    for name in table.colnames:
        table[name] = table[name][:, None]
    table.write(tmp_path / "c.fits")
    assert is_expected(tmp_path / "c.fits")


def test_one_row_of_arrays(tmp_path):
    columns = {name: [column.data] for name, column in positions().columns.items()}
    Table({**columns, "version": ["3"]}).write(tmp_path / "c.fits")
    assert is_expected(tmp_path / "c.fits")


def test_a_table_of_one_galaxy_stays_one(tmp_path):
    table = positions()[:1]
    table["flux"] = [[1.0, 2.0, 3.0]]
    table.write(tmp_path / "c.fits")
    assert read_catalogue(tmp_path / "c.fits", {}).galaxy_id.tolist() == [1005]


def fits_file(path, **tables) -> None:
    hdus = [fits.table_to_hdu(table) for table in tables.values()]
    for hdu, name in zip(hdus, tables, strict=True):
        hdu.name = name
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)


def test_tables_of_fits_files(tmp_path):
    path, other = tmp_path / "c.fits", positions()
    other["id"] = [1, 2]
    fits_file(path, FIRST=other, SECOND=positions())
    for part in ("SECOND", "second", "2"):
        assert is_expected(f"{path}[{part}]")
    with pytest.raises(GalgenError, match=r"several tables: 1 \(FIRST, 2 rows\), 2 \(SECOND, 2"):
        read_catalogue(path, {})
    for part in ("THIRD", "0", "3"):
        with pytest.raises(GalgenError, match=rf"no table {part}; it has 1 \(FIRST"):
            read_catalogue(f"{path}[{part}]", {})


def test_the_only_table_of_positions_is_meant(tmp_path):
    fits_file(tmp_path / "c.fits", INFO=Table({"key": ["a"]}), SOURCES=positions())
    assert is_expected(tmp_path / "c.fits")
    ldac = {"LDAC_IMHEAD": Table({"ra": ["x"], "dec": ["y"]}), "LDAC_OBJECTS": positions()}
    fits_file(tmp_path / "ldac.fits", **ldac)
    assert is_expected(tmp_path / "ldac.fits")
    assert is_expected(f"{tmp_path}/ldac.fits[LDAC_OBJECTS]")


def test_tables_of_votables(tmp_path):
    file, other = VOTableFile(), positions()
    other["id"] = [1, 2]
    for name, table in {"first": other, "second": positions()}.items():
        made = from_table(table).get_first_table()
        made.name = name
        file.resources.append(Resource())
        file.resources[-1].tables.append(made)
    file.to_xml(str(tmp_path / "c.vot"))
    assert is_expected(f"{tmp_path}/c.vot[second]")
    with pytest.raises(GalgenError, match=r"several tables: 0 .first"):
        read_catalogue(tmp_path / "c.vot", {})


def test_paths_of_catalogues(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SURVEY", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fits_file(tmp_path / "c.fits", A=positions())
    positions().write(tmp_path / "with[1].fits")
    paths = "~/c.fits", "$SURVEY/c.fits", "${SURVEY}/c.fits[A]", "~/c.fits[1]", "c.fits"
    for path in (*paths, "with[1].fits"):
        assert is_expected(path)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("deg", 1),
        ("DEG", 1),
        ("Degree", 1),
        ("degrees", 1),
        ("H", 1 / 15),
        ("hours", 1 / 15),
        ("HOURANGLE", 1 / 15),
        ("RAD", np.pi / 180),
        ("radians", np.pi / 180),
        ("ARCSEC", 3600),
        ("arcsecond", 3600),
        ("arcmin", 60),
        ("", 1),
    ],
)
def test_units_of_positions(tmp_path, unit, factor):
    columns = [
        fits.Column("RA", "D", array=np.array([150.1, 350.0]) * factor, unit=unit),
        fits.Column("DEC", "D", array=[2.2, -30.0], unit="deg"),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "c.fits")
    np.testing.assert_allclose(read_catalogue(tmp_path / "c.fits", {}).ra, [150.1, 350.0])


def test_sexagesimal_degrees_by_the_unit(tmp_path):
    table = Table({"ra": ["150:06:00", "150:12:00"], "dec": ["2:12:00", "-0:30:00"]})
    table["ra"].unit = "deg"
    table.write(tmp_path / "c.ecsv")
    found = read_catalogue(tmp_path / "c.ecsv", {})
    np.testing.assert_allclose(found.ra, [150.1, 150.2])
    np.testing.assert_allclose(found.dec, [2.2, -0.5])


def test_velocities_are_no_redshifts(tmp_path):
    table = positions()
    table["z"].unit = "km/s"
    table.write(tmp_path / "c.fits")
    with pytest.raises(GalgenError, match=r"column z .* velocities in km / s"):
        read_catalogue(tmp_path / "c.fits", {})


def test_unknown_redshifts_are_counted(tmp_path):
    (tmp_path / "c.csv").write_text("id,ra,dec,z\n1,1,1,0.5\n2,2,2,-99\n3,3,3,21.7\n4,4,4,\n")
    found = read_catalogue(tmp_path / "c.csv", {})
    assert np.isnan(found.redshift).tolist() == [False, True, True, True]
    assert any("3 of 4 redshifts in z are unknown" in note for note in found.notes)


@pytest.mark.parametrize(
    "names",
    [("coord_ra", "coord_dec"), ("RAcen", "Deccen"), ("sky_centroid.ra", "sky_centroid.dec")],
)
def test_positions_of_other_programs(tmp_path, names):
    table = Table(dict(zip(names, [[1.0, 2.0], [3.0, 4.0]], strict=True)))
    table.write(tmp_path / "c.ecsv")
    found = read_catalogue(tmp_path / "c.ecsv", {})
    assert (found.ra.tolist(), found.dec.tolist()) == ([1, 2], [3, 4])


@pytest.mark.parametrize("name", ["sky_centroid", "position"])
def test_columns_of_astropy_objects(tmp_path, name):
    sky = SkyCoord([10, 20], [30, 40], unit="deg").galactic
    times = Time(["2020-01-01", "2020-01-02"])
    table = QTable({"label": [7, 8], name: sky, "time": times, "z": [0.5, 0.6] * u.one})
    table.write(tmp_path / "c.ecsv")
    found = read_catalogue(tmp_path / "c.ecsv", {})
    assert found.galaxy_id.tolist() == [7, 8]
    np.testing.assert_allclose([found.ra, found.dec], [[10, 20], [30, 40]])
    np.testing.assert_allclose(found.redshift, [0.5, 0.6], rtol=1e-6)


def test_names_of_columns_below_remarks(tmp_path):
    text = "# EAZY output\n# tempfile a b\n# id ra dec z_phot\n 1005 150.1 2.2 0.5\n"
    (tmp_path / "c.cat").write_text(text + "1006 150.101 2.3 0.6\n")
    assert is_expected(tmp_path / "c.cat")
    (tmp_path / "c.cat").write_text("# id ra dec z\n# from a b\n1005 150.1 2.2 0.5\n")
    assert read_catalogue(tmp_path / "c.cat", {}).galaxy_id.tolist() == [1005]


SPELLED = {
    "Excel": "sep=;\n" + CSV.replace(",", ";"),
    "decimal commas": CSV.replace(",", ";").replace(".", ","),
    "tabs": CSV.replace(",", "\t"),
    "a last remark": CSV + "# 2 rows\n\n",
}


@pytest.mark.parametrize("case", SPELLED)
def test_csv_as_other_programs_write_it(tmp_path, case):
    (tmp_path / "c.csv").write_text(SPELLED[case])
    assert is_expected(tmp_path / "c.csv")


@pytest.mark.parametrize("form", ["mrt", "ipac", "latex", "rst"])
def test_text_that_says_its_columns(tmp_path, form):
    big = 2**60 + np.arange(2) if form == "ipac" else [1005, 1006]
    table = Table({"id": big, "ra": [150.1, 150.101], "dec": [2.2, 2.3], "z": [0.5, 0.6]})
    table.write(tmp_path / "c.txt", format=f"ascii.{form}")
    assert read_catalogue(tmp_path / "c.txt", {}).galaxy_id.tolist() == list(big)


def test_spreadsheets_are_named(tmp_path):
    (tmp_path / "c.xlsx").write_bytes(b"PK\3\4 of a workbook")
    with pytest.raises(GalgenError, match=r"\(it is a spreadsheet.* Save it as .*CSV"):
        read_catalogue(tmp_path / "c.xlsx", {})


def test_a_row_of_units_is_left_out(tmp_path):
    (tmp_path / "c.csv").write_text(CSV.replace("\n", "\n,deg,deg,\n", 1))
    found = read_catalogue(tmp_path / "c.csv", {})
    np.testing.assert_allclose(found.ra, [150.1, 150.101])
    assert found.catalogue_id.tolist() == [b"1005", b"1006"]
    assert any("1 rows of c.csv are left out" in note for note in found.notes)


@pytest.mark.parametrize("name", ["c.csv", "c.dat", "c.fits", "c.ecsv", "c.csv.gz"])
@pytest.mark.parametrize("text", ["", " \n\n", "# a\n"])
def test_a_table_without_anything_in_it(tmp_path, name, text):
    path, content = tmp_path / name, text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    says = "holds remarks alone" if text.strip() else "is empty"
    with pytest.raises(GalgenError, match=rf"^mosaic.catalogue=.*: the file {says}. Give another"):
        read_catalogue(path, {})
