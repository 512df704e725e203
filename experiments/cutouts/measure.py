"""Stamps from FITS cutouts: files a second on one core, beside what astropy alone reads."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from rich.console import Console
from rich.table import Table

from experiments.machine import machine
from galgen.data.stamp_writing import write_stamps
from galgen.data.surveys.cutouts.cutouts import Cutouts
from galgen.data.surveys.cutouts.cutouts_source import CutoutsSource

RESULTS = Path(__file__).parent / "results.json"
FILES, SIZE, BLOCK, REPEATS = 2000, 64, 64, 5
BANDS = ("F115W", "F150W")


def write_cutouts(folder: Path) -> None:
    """Write FILES cutouts in two bands, with the headers that a cutout service writes."""
    rng, wcs = np.random.default_rng(0), WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt = ("RA---TAN", "DEC--TAN"), (-1e-5, 1e-5)
    for band in BANDS:
        (folder / band).mkdir()
        for number in range(FILES // len(BANDS)):
            wcs.wcs.crval = rng.uniform(0, 60, 2)
            header = wcs.to_header()
            header.update({"BUNIT": "nJy", "FILTER": band, "EXPTIME": 1800.0})
            pixels = rng.normal(size=(SIZE, SIZE)).astype(np.float32)
            fits.writeto(folder / band / f"{number}.fits", pixels, header)


def rate(work: Callable[[], None]) -> dict[str, float]:
    """Return files a second, by the processor's time and by the clock; the best of some runs."""
    cpu, wall = [], []
    for _ in range(REPEATS):
        started = time.process_time(), time.perf_counter()
        work()
        cpu.append(time.process_time() - started[0])
        wall.append(time.perf_counter() - started[1])
    return {"cpu": round(FILES / min(cpu)), "wall": round(FILES / min(wall))}


def read(folder: Path) -> None:
    for path in folder.glob("*/*.fits"):
        fits.getdata(path)


def stamps(folder: Path, out: Path) -> None:
    """Find the files, read them, and write the stamp file, in one process."""
    source = CutoutsSource(Cutouts({band: f"{folder}/{band}/{{id}}.fits" for band in BANDS}))
    source.open()
    numbers = range(len(source))
    blocks = (source.draw(numbers[n : n + BLOCK])[0] for n in range(0, len(numbers), BLOCK))
    write_stamps(out, blocks, source.attrs())


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_cutouts(folder)
        found = {
            "fits.getdata alone": rate(lambda: read(folder)),
            "stamps read, measured and written": rate(lambda: stamps(folder, folder / "s.h5")),
        }
    RESULTS.write_text(json.dumps({"files a second": found, **machine()}, indent=2) + "\n")
    table = Table("one core", "by processor time", "by the clock", title="files a second")
    for name, rates in found.items():
        table.add_row(name, str(rates["cpu"]), str(rates["wall"]))
    Console().print(table)


if __name__ == "__main__":
    main()
