"""Tables of posteriors: means and percentiles of each galaxy, and densities that qp reads."""

import io
from pathlib import Path

import h5py
import numpy as np
from astropy.table import Table

from galgen.errors import GalgenError
from galgen.files import written_whole

ENDINGS = (".fits", ".ecsv", ".parquet")
"""Formats of the table."""
PERCENTILES = (2.5, 16, 50, 84, 97.5)
UNITS = {"magnitude": "mag", "size": "arcsec"}
"""Of conditions that have one."""


def summarise(name: str, grid: np.ndarray, cumulative: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean and percentiles of posteriors.

    Args:
        name: of the condition.
        grid: its values, (G,).
        cumulative: the distribution of each galaxy at these, (N, G).

    Returns:
        Columns (N,) by name, such as `redshift_mean` and `redshift_p16`.
    """
    mass, middle = np.diff(cumulative, axis=1), 0.5 * (grid[1:] + grid[:-1])
    mean = cumulative[:, 0] * grid[0] + mass @ middle + (1 - cumulative[:, -1]) * grid[-1]
    columns = {f"{name}_mean": mean}
    for percentile in PERCENTILES:
        level = percentile / 100
        found = [np.interp(level, row, grid) for row in cumulative]
        columns[f"{name}_p{percentile:g}".replace(".", "_")] = np.array(found)
    return columns


def density(grid: np.ndarray, cumulative: np.ndarray) -> np.ndarray:
    """Return the densities (N, G) of distributions (N, G) on a grid (G,); each integrates to 1."""
    found = np.gradient(cumulative, grid, axis=1).clip(0)
    return found / np.trapezoid(found, grid, axis=1)[:, None]


def write_table(path: Path, columns: dict[str, np.ndarray], about: dict[str, str]) -> None:
    """Write a table, whole or not at all.

    Args:
        path: `.fits`, `.ecsv` or `.parquet`.
        columns: (N,) each, by name.
        about: texts of its header.

    Raises:
        GalgenError: if the ending is another, or a package for it is missing.
    """
    table = Table(columns, meta=about)
    for name in table.colnames:
        table[name].unit = UNITS.get(name.partition("_")[0])
    with written_whole(path) as part:
        if path.suffix == ".parquet":
            try:
                table.write(part, format="parquet")
            except ImportError as error:
                raise GalgenError(
                    f"out={path}: Parquet needs pyarrow and pandas, not installed here. "
                    "pip install 'galgen[parquet]'"
                ) from error
        else:
            table.write(part, format="fits" if path.suffix == ".fits" else "ascii.ecsv")


def write_densities(path: Path, grid: np.ndarray, densities: np.ndarray, ids: np.ndarray) -> None:
    """Write densities as an HDF5 file that qp reads as an interpolated ensemble.

    Source: Malz et al. 2018 (qp), and qp's own documentation of its files.

    Args:
        path: the file.
        grid: (G,).
        densities: (N, G).
        ids: of the galaxies, (N,).
    """
    content = io.BytesIO()  # HDF5 crashes where a disk becomes full
    with h5py.File(content, "w") as file:
        file["meta/pdf_name"] = np.array([b"interp"])
        file["meta/pdf_version"] = np.array([0])
        file["meta/xvals"] = grid[None]
        file.create_dataset("data/yvals", data=densities, compression="gzip", shuffle=True)
        file["ancil/galaxy_id"] = ids
    with written_whole(path) as part:
        part.write_bytes(content.getbuffer())
