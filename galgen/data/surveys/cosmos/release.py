"""A release of real galaxies in GalSim's layout: catalogue, fits, selection, images, PSFs."""

import warnings
from pathlib import Path

import galsim
import numpy as np
from astropy.io import fits

from galgen.data.stamp_file import known_redshifts
from galgen.data.surveys.cosmos_noise import ZERO_POINT
from galgen.errors import GalgenError

NUMBERS = ("IDENT", "MAG", "GAL_HDU", "PIXEL_SCALE", "NOISE_VARIANCE")
"""Columns of numbers that a main catalogue must have; GAL_FILENAME is a must too."""
EXCLUSION_LEVELS = ("none", "bad_stamp", "bad_fits", "marginal")


class Release:
    """The catalogues of a release.

    Args:
        folder: where the release lies.

    Attributes:
        path: the main catalogue.
        catalogue: its rows, a structured array (N,).
        fits: rows of the catalogue of fits, aligned with it; None where the release has none.
        tables: the catalogue files there are.

    Raises:
        GalgenError: if there is no catalogue, or one cannot be read.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.path = _find_catalogue(folder)
        self.catalogue = _read(self.path)
        self.fits = None
        self._check_columns()
        self.selection = self.path.with_name(f"{self.path.stem}_selection.fits")
        fitted = self.path.with_name(f"{self.path.stem}_fits.fits")
        self.tables = [path for path in (self.path, fitted, self.selection) if path.is_file()]
        if fitted.is_file():
            self.fits = self._aligned(_read(fitted), fitted)
            self._check_columns()

    @property
    def band(self) -> str:
        """Name of the filter."""
        band = self.column("BAND")
        return "unknown" if band is None else str(band[0])

    @property
    def pixel_scale(self) -> float:
        """Side of a pixel, arcsec."""
        return float(self.column("PIXEL_SCALE")[0])

    def column(self, name: str) -> np.ndarray | None:
        """Return a column of the catalogue or of the fits, in whatever case its name is."""
        for table in (self.catalogue, self.fits):
            for found in table.dtype.names if table is not None else ():
                if found.upper() == name.upper():
                    column = table[found]
                    return (
                        np.char.strip(column.astype(str)) if column.dtype.kind in "SU" else column
                    )
        return None

    def select(
        self, exclusion_level: str, min_flux: float, max_magnitude: float | None, min_radius: float
    ) -> tuple[np.ndarray, list[str]]:
        """Choose galaxies, by GalSim's own cuts where the release has their columns.

        Args:
            exclusion_level: of `galsim.COSMOSCatalog`.
            min_flux: least fitted flux, counts/s; from the magnitude where there are no fits.
            max_magnitude: faintest magnitude, AB.
            min_radius: least flux radius, arcsec.

        Returns:
            Row numbers, and sentences on what could not be done.

        Raises:
            GalgenError: if GalSim cannot read the files, or nothing is left.
        """
        notes = []
        chosen = np.ones(len(self.catalogue), bool)
        if self.fits is not None and self.selection.is_file():
            chosen[:] = False
            chosen[self._selected_by_galsim(exclusion_level)] = True
        elif exclusion_level != "none":
            notes.append(
                f"{self.folder} lacks the catalogue of fits or of selection: "
                f"exclusion_level={exclusion_level} is not applied"
            )
        if max_magnitude is not None:
            chosen &= self.column("MAG") <= max_magnitude
        fitted = self.column("flux")
        flux = (
            fitted[:, 0] if fitted is not None else 10 ** (0.4 * (ZERO_POINT - self.column("MAG")))
        )
        chosen &= flux >= min_flux
        radius = self.column("flux_radius")
        if radius is not None:
            chosen &= radius * self.column("PIXEL_SCALE") >= min_radius
        if not chosen.any():
            raise GalgenError(
                f"{self.folder}: none of its {len(chosen)} galaxies is left by exclusion_level="
                f"{exclusion_level}, min_flux={min_flux}, max_magnitude={max_magnitude} and "
                f"min_radius={min_radius}. Loosen them."
            )
        notes.append(f"{chosen.sum()} of {len(chosen)} galaxies selected")
        return np.flatnonzero(chosen), notes

    def columns(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of some galaxies.

        Args:
            rows: row numbers, (n,).

        Returns:
            `galaxy_id`; `ra` and `dec` (degrees); `magnitude`; `noise_variance`, (counts/s)^2;
            `redshift`, NaN where unknown; and where there are fits `flux_radius` (arcsec),
            `sersic_flux` (counts/s), `sersic_index`, `sersic_radius` (major axis, arcsec),
            `axis_ratio` and `position_angle` (degrees from the x axis).
        """
        scale = self.column("PIXEL_SCALE")[rows]
        known = {
            "ra": self.column("RA"),
            "dec": self.column("DEC"),
            "magnitude": self.column("MAG"),
            "noise_variance": self.column("NOISE_VARIANCE"),
        }
        columns = {
            name: column[rows].astype("f8") for name, column in known.items() if column is not None
        }
        columns["galaxy_id"] = self.column("IDENT")[rows].astype("i8")
        redshift = self.column("zphot")
        columns["redshift"] = known_redshifts(
            np.full(len(rows), np.nan) if redshift is None else redshift[rows]
        )
        radius, sersic, flux = map(self.column, ("flux_radius", "sersicfit", "flux"))
        if radius is not None:
            columns["flux_radius"] = radius[rows] * scale
        if sersic is not None:
            _, size, index, ratio, _, _, _, angle = sersic[rows].T
            columns |= {
                "sersic_index": index,
                "sersic_radius": size * scale,
                "axis_ratio": ratio,
                "position_angle": np.degrees(angle) % 180,
            }
        if flux is not None:
            columns["sersic_flux"] = flux[rows, 0]
        return {name: np.ascontiguousarray(column) for name, column in columns.items()}

    def _check_columns(self) -> None:
        """Check the main catalogue.

        Raises:
            GalgenError: if it has no rows, or a column is missing or invalid.
        """
        absent = [name for name in (*NUMBERS, "GAL_FILENAME") if self.column(name) is None]
        words = [
            name
            for name in (*NUMBERS, "zphot", "flux_radius")
            if (column := self.column(name)) is not None and column.dtype.kind not in "iuf"
        ]
        wrong = None
        if not len(self.catalogue):
            wrong = "has no rows"
        elif absent:
            wrong = f"lacks the columns {', '.join(sorted(absent))}"
        elif words:
            wrong = f"has no numbers in {', '.join(words)}"
        if wrong:
            raise GalgenError(f"{self.path}: {wrong}; it is not a catalogue in GalSim's layout.")
        scale = self.column("PIXEL_SCALE")
        if not (scale[0] > 0 and np.allclose(scale, scale[0], rtol=1e-3)):
            raise GalgenError(f"{self.path}: PIXEL_SCALE is to be one positive number, arcsec.")

    def file_sizes(self, column: str, rows: np.ndarray) -> dict[str, int | None]:
        """Look up the files that a column names: their size in bytes, None for missing ones."""
        names = self.column(column)
        files = () if names is None else np.unique(names[rows]).tolist()
        paths = [self.folder / name for name in files]
        return {path.name: path.stat().st_size if path.is_file() else None for path in paths}

    def _selected_by_galsim(self, exclusion_level: str) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # divisions by zero inside the cuts
            try:
                cuts = galsim.COSMOSCatalog(str(self.path), exclusion_level=exclusion_level)
            except (OSError, KeyError, ValueError, IndexError) as error:
                raise GalgenError(
                    f"{self.selection}: the selection cannot be made ({error}). Give "
                    "prepare.exclusion_level=none to go without it."
                ) from error
        return cuts.orig_index

    def _aligned(self, fitted: np.ndarray, path: Path) -> np.ndarray:
        """Bring the fits into the catalogue's order.

        Raises:
            GalgenError: if a galaxy is missing in them.
        """
        if "IDENT" not in fitted.dtype.names or not len(fitted):
            raise GalgenError(f"{path}: has no rows, or lacks the column IDENT.")
        wanted = self.column("IDENT")
        if self.selection.is_file() and not np.array_equal(fitted["IDENT"], wanted):
            raise GalgenError(
                f"{path}: its galaxies are not those of {self.path.name} in the same order, by "
                f"which GalSim selects. Are the files of one release? Without "
                f"{self.selection.name} they are matched by IDENT."
            )
        order = np.argsort(fitted["IDENT"], kind="stable")
        place = np.searchsorted(fitted["IDENT"], wanted, sorter=order).clip(max=len(order) - 1)
        aligned = fitted[order[place]]
        if (aligned["IDENT"] != wanted).any():
            strangers = wanted[aligned["IDENT"] != wanted]
            raise GalgenError(
                f"{path}: lacks {len(strangers)} galaxies of {self.path.name}, the first has IDENT "
                f"{strangers[0]}; the files are not of one release."
            )
        return aligned


def _find_catalogue(folder: Path) -> Path:
    """Find the main catalogue of a release.

    Raises:
        GalgenError: if there is none, or several.
    """
    if not folder.is_dir():
        raise GalgenError(f"{folder}: there is no such folder.")
    found = [
        path
        for path in sorted(folder.glob("*catalog*.fits"))
        if not path.stem.endswith(("_fits", "_selection"))
    ]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise GalgenError(
            f"{folder}: a release has one real_galaxy_catalog_*.fits, this folder has {names}."
        )
    return found[0]


def _read(path: Path) -> np.ndarray:
    """Read a catalogue into memory.

    Raises:
        GalgenError: if it is damaged or of another format.
    """
    try:
        with fits.open(path, memmap=False) as file:
            return np.array(file[1].data)
    except (OSError, IndexError, TypeError, ValueError, KeyError) as error:
        raise GalgenError(f"{path}: cannot be read as a FITS table ({error}).") from error
