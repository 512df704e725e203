"""Preparing surveys: rates; and the peak memory of preparing and of training from disk."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import galsim
import numpy as np
from astropy.table import Table as Catalogue
from rich.console import Console
from rich.table import Table

from experiments.machine import machine
from galgen.data.stamp_writing import join_stamps, write_stamps
from galgen.data.surveys.cosmos.cosmos_source import CosmosSource
from galgen.data.surveys.simulated.simulated_source import SimulatedSource

RESULTS = Path(__file__).parent / "results.json"
SIZE = 158
"""px"""
BAND = "F814W"
SHARD = 1000
"""Stamps in the one shard that the virtual survey repeats."""
VIRTUAL = 100_000
"""Stamps, or galaxies of a release, of the survey whose memory is measured."""


def main() -> None:
    """Measure, print the table and write results.json."""
    with tempfile.TemporaryDirectory() as folder:
        survey = write_survey(Path(folder))
        release = write_release(Path(folder) / "release")
        results = {
            "preparing": preparing_rates(release),
            "memory": {
                "training": memory_of_training(survey),
                "preparing": memory_of_preparing(release),
            },
        }
    show(results)
    RESULTS.write_text(json.dumps({**machine(), **results}, indent=2) + "\n")
    print(f"written to {RESULTS}")


def write_survey(folder: Path) -> Path:
    """Write noisy stamps as a shard of galgen's, and a survey of as many of it as need be."""
    images = np.random.default_rng(0).normal(size=(SHARD, SIZE, SIZE)).astype("f4")
    redshift = np.linspace(0.1, 2, SHARD, dtype="f4")
    shard, survey = folder / "shard.h5", folder / "survey.h5"
    write_stamps(shard, [{"image": images, "redshift": redshift}], {})
    join_stamps(survey, [shard] * (VIRTUAL // SHARD), {}, {})
    return survey


def preparing_rates(release: Path) -> dict[str, float]:
    """Make stamps in one process; stamps/s."""
    galsim.set_omp_threads(1)
    sources = {
        f"release, {recipe}": CosmosSource("bench", "", "", release=str(release), recipe=recipe)
        for recipe in ("physical", "seed")
    }
    sources["simulated, smooth"] = SimulatedSource(300, SIZE, BAND, structure=False)
    sources["simulated"] = SimulatedSource(300, SIZE, BAND)
    rates = {}
    for name, source in sources.items():
        source.open()
        source.draw(range(5))
        start = time.perf_counter()
        source.draw(range(5, 205))
        rates[name] = 200 / (time.perf_counter() - start)
    return rates


def write_release(folder: Path) -> Path:
    """Write simulated galaxies as a release in GalSim's layout, in the sizes of real ones."""
    folder.mkdir()
    block, _ = SimulatedSource(300, SIZE, BAND).draw(range(300))
    psfs = SimulatedSource(1, SIZE, BAND).tables()["psf"][:, 0]
    sides = np.random.default_rng(0).integers(40, 150, 300)
    edges = (SIZE - sides) // 2
    images = [
        galsim.Image(np.ascontiguousarray(image[edge : edge + side, edge : edge + side]))
        for image, edge, side in zip(block["image"][:, 0], edges, sides, strict=True)
    ]
    galsim.fits.writeMulti(images, str(folder / "images.fits"))
    kernels = [galsim.Image(psfs[index]) for index in block["psf_index"]]
    galsim.fits.writeMulti(kernels, str(folder / "psfs.fits"))
    rows = np.arange(VIRTUAL) % 300
    catalogue = Catalogue(
        {
            "IDENT": np.arange(VIRTUAL),
            "RA": np.zeros(VIRTUAL),
            "DEC": np.zeros(VIRTUAL),
            "MAG": block["magnitude"][rows],
            "BAND": ["F814W"] * VIRTUAL,
            "GAL_FILENAME": ["images.fits"] * VIRTUAL,
            "PSF_FILENAME": ["psfs.fits"] * VIRTUAL,
            "GAL_HDU": rows,
            "PSF_HDU": rows,
            "PIXEL_SCALE": np.full(VIRTUAL, 0.03),
            "NOISE_VARIANCE": block["noise_variance"][rows],
        }
    )
    catalogue.write(folder / "real_galaxy_catalog_bench.fits")
    return folder


def memory_of_training(survey: Path) -> float:
    """Train a narrow model from disk; peak memory of the process, GB."""
    return peak_memory(
        *("galgen.train", "data=cosmos", f"data.file={survey}", "data.cache=none"),
        *("model=vae", "model.image_size=158", "model.width=8", "model.output=none"),
        *("transform=none", "trainer=debug", "trainer.limit_train_batches=20"),
        f"run_root={survey.parent / 'runs'}",
    )


def memory_of_preparing(release: Path) -> float:
    """Prepare one of 64 shards of a large release; peak memory of the larger process, GB."""
    return peak_memory(
        *("galgen.prepare", "data=cosmos", f"prepare.release={release}", "prepare.shard=0"),
        f"data.file={release.parent / 'large.h5'}",
    )


def peak_memory(*command: str) -> float:
    """Run a command of galgen; peak memory of the largest of its processes, GB."""
    watch = (
        "import resource, subprocess, sys;"
        "subprocess.run([sys.executable, '-m', *sys.argv[1:]], check=True, stdout=-3);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", watch, *command], check=True, capture_output=True, text=True
    )
    return int(done.stdout) * 1024 / 1e9


def show(results: dict) -> None:
    """Print the table."""
    table = Table("", "rate", "", title=f"{SIZE} px")
    for name, rate in results["preparing"].items():
        table.add_row(f"preparing, {name}", f"{rate:.0f} stamps/s", "one process")
    for name, peak in results["memory"].items():
        table.add_row(f"{name}, {VIRTUAL} stamps", f"{peak:.2f} GB", "peak memory")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
