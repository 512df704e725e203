"""`python -m galgen.describe`: print and draw what a stamp file holds."""

import hashlib
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from rich.progress import track

from galgen.config.command import command
from galgen.config.targets import check_arguments, check_targets, instantiate
from galgen.data.stamp_file import StampFile
from galgen.errors import GalgenError
from galgen.files import DISK_FULL, reading, refuse_to_replace, sha256

BLOCK = 256
"""Stamps read at a time."""
SHOWN = 48
"""Galaxies on the contact sheet."""
COLUMNS = {
    "redshift": "redshift",
    "magnitude": "magnitude (AB)",
    "flux_radius": "flux radius (arcsec)",
    "noise_variance": "noise variance (unit squared)",
}
"""Columns that are printed and, except the noise, drawn; by their labels."""


@command("describe", resumes=False)
def main(config: DictConfig) -> None:
    """Print counts, ranges and checksums of a stamp file, and draw galaxies and histograms."""
    check_targets(config)
    check_arguments(config)
    stamps = instantiate(config.data).open_file()
    folder = Path(str(config.out)) if config.out else stamps.path.parent
    if not config.overwrite:
        refuse_to_replace(folder, pictures(stamps, folder).values())
    facts = describe(stamps)
    width = max(map(len, facts)) + 2
    for label, text in facts.items():
        print(f"{label:<{width}}{text}")
    for path in draw(stamps, folder):
        print(path)


def describe(stamps: StampFile) -> dict[str, str]:
    """Say what a stamp file holds.

    Args:
        stamps: the file.

    Returns:
        Labels and texts.
    """
    attrs = stamps.attrs
    unit = "peak of the galaxy" if stamps.peak_normalised else attrs.get("unit", "unknown")
    facts = {"file": str(stamps.path)}
    facts |= {name: str(attrs[name]) for name in ("survey", "recipe") if name in attrs}
    facts["bands"] = ", ".join(stamps.bands)
    facts["stamps"] = f"{len(stamps)} of {stamps.size} x {stamps.size} px"
    facts["unit"] = unit
    if "pixel_scale" in attrs:
        facts["pixel scale"] = f"{attrs['pixel_scale']:.5g} arcsec"
    if "zero_point" in attrs:
        points = ["unknown" if p is None else f"{p:.5g}" for p in stamps.zero_points]
        facts["zero point"] = f"{', '.join(points)} mag (AB) of one unit"
    facts["parents"] = _parents(stamps)
    for name, label in COLUMNS.items():
        if name in stamps.columns:
            facts |= _by_band(stamps, name, label)
    others = [name for name in stamps.columns if name not in COLUMNS]
    facts["other columns"] = ", ".join(sorted(others)) or "none"
    for name, shape in stamps.stacks.items():
        if name != "image":
            facts[f"'{name}'"] = " x ".join(map(str, shape))
    if "has_psf" in stamps.columns:
        facts["'psf'"] += f", {(stamps.columns['has_psf'] == 0).sum()} of them unknown"
    return facts | _pixels(stamps) | _checksums(stamps)


def pictures(stamps: StampFile, folder: Path) -> dict[str, Path]:
    """Name the files of the pictures by their content."""
    return {kind: folder / f"{stamps.path.stem}.{kind}.png" for kind in ("stamps", "histograms")}


def draw(stamps: StampFile, folder: Path) -> list[Path]:
    """Draw a contact sheet and histograms.

    Args:
        stamps: the file.
        folder: where the pictures go.

    Returns:
        The files that were written.

    Raises:
        GalgenError: if they cannot be written.
    """
    from galgen.figures.contact_sheet import draw_contact_sheet
    from galgen.figures.display import Display
    from galgen.figures.histograms import draw_histograms
    from galgen.figures.saving import save

    rows = np.unique(np.linspace(0, len(stamps) - 1, SHOWN).round().astype(int))
    named = [name for name in ("magnitude", "redshift") if name in stamps.columns]
    sheet = draw_contact_sheet(
        stamps.read(rows, stamps.size),
        Display(
            names=stamps.bands,
            zero_points=stamps.zero_points,
            reference=stamps.reference,
            pixel_scale=stamps.attrs.get("pixel_scale"),
        ),
        **{name: stamps.by_galaxy(name)[rows] for name in named},
    )
    columns = {
        label: stamps.by_galaxy(name)
        for name, label in COLUMNS.items()
        if name in stamps.columns and name != "noise_variance"
    }
    known = {label: values[np.isfinite(values)] for label, values in columns.items()}
    known = {label: values for label, values in known.items() if len(values)}
    drawn = {"stamps": sheet}
    if known:
        drawn["histograms"] = draw_histograms(known)
    places = pictures(stamps, folder)
    paths = {places[name]: figure for name, figure in drawn.items()}
    try:
        for path, figure in paths.items():
            save(figure, path)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise GalgenError(
            f"{folder}: the pictures cannot be written, {error.strerror}. Give out=<folder>."
        ) from error
    return list(paths)


def _parents(stamps: StampFile) -> str:
    if "galaxy_id" not in stamps.columns:
        return "unknown, the file has no galaxy ids"
    _, counts = np.unique(stamps.columns["galaxy_id"], return_counts=True)
    several = counts[counts > 1]
    if not len(several):
        return f"{len(counts)} galaxies, each in one stamp"
    return f"{len(counts)} galaxies, {len(several)} in several stamps (at most {several.max()})"


def _by_band(stamps: StampFile, name: str, label: str) -> dict[str, str]:
    """Describe a column, of several bands each."""
    column = stamps.columns[name]
    if column.ndim == 1 or len(stamps.bands) == 1:
        return {label: _range(column.reshape(-1))}
    columns = zip(stamps.bands, column.T, strict=True)
    return {f"{label}, {band}": _range(values) for band, values in columns}


def _range(column: np.ndarray) -> str:
    known = column[np.isfinite(column)]
    unknown = f", {len(column) - len(known)} unknown" if len(known) < len(column) else ""
    if not len(known):
        return "all unknown"
    return f"{known.min():.4g} to {known.max():.4g}, median {np.median(known):.4g}{unknown}"


def _pixels(stamps: StampFile) -> dict[str, str]:
    """Look at every pixel, a block of stamps at a time."""
    zeros, constant, low, high = 0, 0, np.inf, -np.inf
    seen, copies = set(), 0
    for start in track(range(0, len(stamps), BLOCK), description="reading stamps"):
        block = stamps.read(slice(start, start + BLOCK), stamps.size)
        zeros += np.count_nonzero(block == 0)
        low, high = min(low, block.min()), max(high, block.max())
        constant += int((block.min((2, 3)) == block.max((2, 3))).all(axis=1).sum())
        for stamp in block:
            digest = hashlib.blake2b(stamp.tobytes(), digest_size=16).digest()
            copies += digest in seen
            seen.add(digest)
    return {
        "pixels": f"{low:.4g} to {high:.4g}",
        "pixels that are zero": f"{zeros / np.prod(stamps.stacks['image'], dtype=float):.2%}",
        "constant stamps": str(constant),
        "exact copies of another stamp": str(copies),
    }


def _checksums(stamps: StampFile) -> dict[str, str]:
    """Hash the file, and its shards as `cat shards | sha256sum` does."""
    found = {"sha256": sha256(stamps.path)}
    if stamps.shards:
        joined = hashlib.sha256()
        for shard in stamps.shards:
            with reading(shard), open(shard, "rb") as file:
                while block := file.read(2**20):
                    joined.update(block)
        found[f"sha256 of {len(stamps.shards)} shards"] = joined.hexdigest()
    return found


if __name__ == "__main__":
    main()
