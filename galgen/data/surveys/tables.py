"""Tables of galaxies in any format, encoding and shape, with their values unchanged."""

import bz2
import gzip
import io
import lzma
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits, votable
from astropy.io.ascii import InconsistentTableError
from astropy.table import Column, MaskedColumn, Table

from galgen.config.wording import quoted
from galgen.data.surveys.fits_files import file_and_part
from galgen.errors import GalgenError
from galgen.files import check_file, reading

COMPRESSED = {b"\x1f\x8b": gzip, b"BZ": bz2, b"\xfd7": lzma}
"""Readers by the first two bytes."""
ENCODINGS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""Encodings by the byte order mark."""
FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".tsv": "ascii.tab"}
PARQUET = (".parquet", ".pq")
BINARY = (".h5", ".hdf5", ".hdf", ".feather", ".arrow", ".asdf", *PARQUET)
BLANK = ("", "-", "--", "---", "nan", "null", "none", "n/a", "na", "masked", "...", "*", "?")
"""What a cell without a value may hold, in lower case."""
HEADERS = ("LDAC_IMHEAD",)
"""Tables of FITS files that hold a header, not galaxies."""


def read_table(path: str | Path, wanted: Callable[[list[str]], bool], key: str) -> Table:
    """Read a table.

    Args:
        path: the file; `catalogue.fits[NAME]` or `[2]` names one of several tables of a FITS
            file or a VOTable.
        wanted: whether a table could be meant, given the names of its columns.
        key: under which the user gives the table, for messages.

    Returns:
        The table; `plain` makes its columns ready for use.

    Raises:
        GalgenError: if it cannot be read or has no rows, or if it is one of several.
        ModuleNotFoundError: if it is Parquet, and pyarrow or pandas is not installed.
    """
    file, part = file_and_part(path)
    check_file(f"{key}={path}", file)
    try:
        with reading(f"{key}={path}"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # units and details of the standards
            table = _one_row_each(_columns(_read(file, part, wanted, key)))
    except (GalgenError, ModuleNotFoundError):
        raise
    except Exception as error:  # each format has its own
        said = (str(error).strip().splitlines() or [repr(error)])[0]
        raise GalgenError(
            f"{key}={path}: the file cannot be read as a table ({said}). Save it as "
            "FITS, ECSV, CSV or VOTable."
        ) from error
    if not len(table):
        raise GalgenError(f"{key}={path}: the table has no rows. Give one with galaxies.")
    return table


def _read(file: Path, part: str | None, wanted: Callable, key: str) -> Table:
    with open(file, "rb") as opened:
        start = opened.read(6)
    module = COMPRESSED.get(start[:2])
    if module is not None:
        with module.open(file) as opened:
            start = opened.read(6)
    if not start:
        raise GalgenError(f"{key}={file}: the file is empty. Give another.")
    if start[:2] == b"PK":
        raise ValueError("it is a spreadsheet or an archive")
    if start == b"SIMPLE":
        return _read_fits(file, part, wanted, key)
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in PARQUET:
        for package in ("pyarrow", "pandas"):  # astropy's own error does not say how to get them
            import_module(package)
    if suffixes and suffixes[-1] in BINARY:
        return Table.read(file, **({"path": part} if part else {}))
    with (module or io).open(file, "rb") as opened:
        content = opened.read()
    if b"<VOTABLE" in content[:4096].upper() or b"<\0V\0O\0T" in content[:8192]:
        return _read_votable(file, content, part, wanted, key)
    if part is not None:
        raise GalgenError(f"{key}={file}[{part}]: {file} has no tables to choose from.")
    text = _decode(content)
    if not re.search(r"^\s*[^#\s]", text, re.MULTILINE):
        what = "holds remarks alone" if text.strip() else "is empty"
        raise GalgenError(f"{key}={file}: the file {what}. Give another.")
    return _read_text(text, suffixes)


def _decode(content: bytes) -> str:
    """Decode text, by its byte order mark or as UTF-8, else Latin-1."""
    for mark, encoding in ENCODINGS.items():
        if content.startswith(mark):
            return content.decode(encoding)
    if content[1:2] == b"\0" or content[:1] == b"\0":
        return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _read_text(text: str, suffixes: list[str]) -> Table:
    """Read a table of text; its columns of numbers stay text, so that no digit is lost."""
    if "\0" in text:
        raise ValueError("it holds bytes that are not text")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").strip("\n") + "\n"
    form = next((FORMATS[suffix] for suffix in suffixes if suffix in FORMATS), None)
    if lines.startswith("# %ECSV"):
        form = "ascii.ecsv"
    if form == "ascii.ecsv":
        return Table.read(lines, format=form)
    if form is None:
        lines = _headed_words(lines)
        with suppress(InconsistentTableError):
            return Table.read(lines, format="ascii", converters={"*": str})
        return Table.read(lines, format="ascii")  # formats that store the types of columns
    lines = _headed(lines)
    header = lines.split("\n", 1)[0]
    delimiter = next((sign for sign in ",;\t" if sign in header), ",")
    if form == "ascii.tab":
        return Table.read(lines, format=form, converters={"*": str})
    if delimiter == ";":  # where decimals are written 0,5
        lines = re.sub(r"(?<=\d),(?=\d)", ".", lines)
    return Table.read(lines, format=form, converters={"*": str}, delimiter=delimiter)


def _headed(lines: str) -> str:
    """Remove remarks above the names of columns, and the # before these."""
    rows = lines.split("\n")
    if re.fullmatch(r"\W?sep=.\W?", rows[0].strip(), re.IGNORECASE):  # of Excel
        del rows[0]
    ends = [row.startswith("#") and not re.search("[,;\t]", row) for row in rows]
    last = max((n for n, end in enumerate(ends) if not end and rows[n]), default=-1)
    rows = [*rows[: last + 1], ""]
    remarks = next((n for n, row in enumerate(rows) if not row.startswith("#")), len(rows))
    separators = [sum(map(row.count, ",;\t")) for row in rows[: remarks + 1]]
    named = remarks and separators[remarks - 1] and separators[remarks - 1] == separators[-1]
    if named:
        return "\n".join([rows[remarks - 1].lstrip("# "), *rows[remarks:]])
    return "\n".join(rows[remarks:])


def _headed_words(lines: str) -> str:
    """Keep only the last remark above the rows if it names their columns, as EAZY writes it."""
    rows = lines.split("\n")
    first = next((n for n, row in enumerate(rows) if row.strip() and row[0] != "#"), 0)
    above = [row for row in rows[:first] if row.strip("# ")]
    if len(above) < 2:
        return lines
    names, last = (row.strip("# ").split() for row in (above[-1], above[-2]))
    fitting = len(names) == len(rows[first].split()) == len(set(names)) != len(last)
    if not fitting or any(re.match(r"[\d+-]", name) for name in names):
        return lines
    return "\n".join(["# " + " ".join(names), *rows[first:]])


def _read_fits(file: Path, part: str | None, wanted: Callable, key: str) -> Table:
    with fits.open(file) as hdus:
        tables = {
            number: hdu
            for number, hdu in enumerate(hdus)
            if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)
            and not isinstance(hdu, fits.CompImageHDU)
            and hdu.name not in HEADERS
        }
        names = {number: hdu.name for number, hdu in tables.items()}
        columns = {number: hdu.columns.names for number, hdu in tables.items()}
        rows = {number: len(hdu.data) for number, hdu in tables.items()}
    number = _pick(file, part, names, columns, rows, wanted, key)
    # A catalogue of gigabytes is not read whole.
    return Table.read(file, format="fits", hdu=number, memmap=True)


def _read_votable(
    file: Path, content: bytes, part: str | None, wanted: Callable, key: str
) -> Table:
    tables = dict(enumerate(votable.parse(io.BytesIO(content)).iter_tables()))
    names = {number: table.name or table.ID or "" for number, table in tables.items()}
    columns = {number: [f.name for f in table.fields] for number, table in tables.items()}
    rows = {number: len(table.array) for number, table in tables.items()}
    return tables[_pick(file, part, names, columns, rows, wanted, key)].to_table(
        use_names_over_ids=True
    )


def _pick(
    file: Path,
    part: str | None,
    names: dict[int, str],
    columns: dict[int, list[str]],
    rows: dict[int, int],
    wanted: Callable,
    key: str,
) -> int:
    """Choose one of several tables: as named, or the only one that could be meant."""
    listed = ", ".join(
        f"{number} ({names[number] or 'unnamed'}, {rows[number]} rows)" for number in names
    )
    if not names:
        raise GalgenError(f"{key}={file}: the file has no table. Give one that has.")
    if part is not None:
        found = [n for n, name in names.items() if name.upper() == part.upper()]
        found = found or [n for n in names if part == str(n)]
        if len(found) != 1:
            matching = "several tables" if found else "no table"
            raise GalgenError(
                f"{key}={file}[{part}]: {file} has {matching} {part}; it has {listed}. "
                "Give the number of one."
            )
        return found[0]
    found = [n for n in names if wanted(columns[n]) and rows[n]] if len(names) > 1 else list(names)
    if len(found) != 1:
        raise GalgenError(
            f"{key}={file}: there are several tables: {listed}. Give one of them, "
            f"{key}={quoted(f'{file}[{next(iter(names))}]')}."
        )
    return found[0]


def _columns(table: Table) -> Table:
    """Convert columns such as SkyCoord to numbers or text, or leave them out."""
    for name in table.colnames:
        item = table[name]
        if isinstance(item, SkyCoord):
            for what in ("ra", "dec"):
                meta = {"ucd": f"pos.eq.{what}"}
                values = getattr(item.icrs, what).deg
                table[f"{name}.{what}"] = MaskedColumn(values, unit=u.deg, meta=meta)
        elif isinstance(item, u.Quantity):
            table[name] = MaskedColumn(item.value, unit=item.unit)
            continue
        if not isinstance(item, Column):
            del table[name]
    return table


def _one_row_each(table: Table) -> Table:
    """Turn one row of arrays, as IDL writes a structure of arrays, into a row a galaxy."""
    if len(table) != 1:
        return table
    lengths = {column.size for column in table.itercols()} - {1}
    kept = [column for column in table.itercols() if column.size in lengths]
    if len(lengths) != 1 or len(kept) < 2 or len(kept) < len(table.colnames) / 2:
        return table
    return Table([_like(column, np.ma.asarray(column).reshape(-1)) for column in kept], copy=False)


def plain(column: Column) -> Column:
    """Return a column as one value a row, with text for bytes, masked where a cell has no value.

    Args:
        column: of a table of N rows.

    Returns:
        Masked column (N,).
    """
    values = np.ma.asarray(column)
    if values.ndim > 1 and values.size == len(values):
        values = values.reshape(-1)
    mask = np.ma.getmaskarray(values)
    if values.dtype.kind in "SUO" and values.ndim == 1:
        texts = [v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in values.data]
        texts = np.array([text.strip("\0 \t") for text in texts], str)
        values = np.ma.MaskedArray(texts, mask | np.isin(np.char.lower(texts), BLANK))
    return _like(column, values)


def _like(column: Column, values: np.ma.MaskedArray) -> MaskedColumn:
    return MaskedColumn(values, name=column.name, unit=column.unit, meta=column.meta)
