"""Generating catalogues: rate, the decoder's share of the time, and peak memory."""

import json
import tempfile
import time
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.table import Table

from experiments.loading.bench import peak_memory
from experiments.machine import machine
from galgen.catalogues.rows import Catalogue
from galgen.config.paths import CONF
from galgen.config.targets import instantiate
from galgen.generate import write
from galgen.import_weights import write_run
from galgen.runs.directory import Run
from galgen.runs.requested_conditions import requested_conditions
from galgen.runs.trained_run import TrainedRun

RESULTS = Path(__file__).parent / "results.json"
SMALL = ("experiment=small_cvae2",)
FULL = ("data=cosmos", "model=cvae2")
GALAXIES = {"small_cvae2": 10_000, "full": 256}
MEMORY = (2_000, 20_000)
"""Numbers of galaxies whose catalogues' peak memory is compared."""


def main() -> None:
    """Measure, write results.json, print the table."""
    results = {"machine": machine(), "rate": {}, "decoder_share": {}, "memory_gb": {}}
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            "small_cvae2": untrained(SMALL, Path(folder)),
            "full": untrained(FULL, Path(folder)),
        }
        for name, run in runs.items():
            n = GALAXIES[name]
            for ending in (".h5", ".fits", ".zarr") if name == "small_cvae2" else (".h5",):
                seconds, decoding = generate(run, n, Path(folder) / f"{name}{ending}")
                results["rate"][f"{name}, {ending}"] = n / seconds
                results["decoder_share"][f"{name}, {ending}"] = decoding / seconds
        for n in MEMORY:
            arguments = (
                f"run={runs['small_cvae2']}",
                f"n={n}",
                "redshift=1",
                f"out={folder}/{n}.h5",
            )
            results["memory_gb"][str(n)] = peak_memory("galgen.generate", *arguments)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    show(results)


def untrained(overrides: tuple[str, ...], root: Path) -> Path:
    """Write the finished run of a model that was not trained, which is as fast as one that was."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [*overrides, f"run_root={root}"])
    torch.manual_seed(0)
    run = Run(config)
    write_run(config, run, instantiate(config.model).state_dict(), {"file": "none"})
    return run.directory


def generate(directory: Path, n: int, out: Path) -> tuple[float, float]:
    """Write a catalogue of n galaxies; return the seconds it took, and those in the decoder."""
    run, spent = TrainedRun(directory), [0.0]
    decoder, forward = run.model.decoder, run.model.decoder.forward

    def timed(rows):
        started = time.perf_counter()
        planes = forward(rows)
        spent[0] += time.perf_counter() - started
        return planes

    decoder.forward = timed
    started = time.perf_counter()
    write(
        Catalogue(run, n, requested_conditions(run, {"redshift": 1.0}, "normal")),
        out,
        batch_size=256,
    )
    return time.perf_counter() - started, spent[0]


def show(results: dict) -> None:
    """Print the table."""
    table = Table("", "galaxies/s", "in the decoder", title="generating catalogues")
    for name, rate in results["rate"].items():
        table.add_row(name, f"{rate:.0f}", f"{results['decoder_share'][name]:.0%}")
    for n, peak in results["memory_gb"].items():
        table.add_row(f"peak memory of {n} galaxies", f"{peak:.2f} GB", "")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
