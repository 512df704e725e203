"""Time of a training step on a CPU, by memory format, precision, norm, compilation and threads."""

import csv
import itertools
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from experiments.machine import machine
from experiments.throughput.measure import MODELS, random_batch
from galgen.training.model_training import ModelTraining

RESULTS = Path(__file__).with_name("cpu.csv")
IMAGES = {"small_cvae2": 64, "residual_vae": 64, "galaxy_vae": 64, "cvae2": 16}
NORMS = {
    "small_cvae2": ("batch", "group"),
    "residual_vae": ("group",),
    "galaxy_vae": ("group",),
    "cvae2": ("batch",),
}
FORMATS = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
STEPS = 5


def main() -> None:
    """Measure, write cpu.csv, print the table."""
    cores, rows = torch.get_num_threads(), []
    for model in IMAGES:
        for norm, form, precision in itertools.product(
            NORMS[model], FORMATS, ("float32", "bfloat16")
        ):
            setting = {"model": model, "norm": norm, "format": form, "precision": precision}
            seconds = {
                "1 thread": step_time(**setting, threads=1),
                f"{cores} threads": step_time(**setting, threads=cores),
                f"{cores} threads, compiled": step_time(**setting, threads=cores, compiled=True),
            }
            rates = {name: round(IMAGES[model] / step, 1) for name, step in seconds.items()}
            rows.append({**setting, **rates})
            print(*rows[-1].values(), flush=True)
    with open(RESULTS, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    table = Table(*rows[0], title=f"images/s, {machine()['machine']}")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=110).print(table)


def step_time(
    model: str, norm: str, format: str, precision: str, threads: int, compiled: bool = False
) -> float:
    """Return the median time of a step, forward and backward, seconds."""
    torch.compiler.reset()  # else its limit of recompilations is reached
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    architecture, arguments = MODELS[model]
    vae = architecture(**{**arguments, "norm": norm})
    for network in (vae.encoder, vae.decoder):
        network.to(memory_format=FORMATS[format])
        if compiled:
            network.compile()
    training, batch = ModelTraining(vae), random_batch(vae, IMAGES[model])
    times = []
    for _ in range(STEPS + 2):
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            noise = training.noise(batch, training.generator(1, 0, 0))
            loss = vae.loss(batch, 0.1, noise).total
        loss.backward()
        times.append(time.perf_counter() - started)
    return sorted(times[2:])[STEPS // 2]


if __name__ == "__main__":
    main()
