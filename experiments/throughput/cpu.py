"""Time of a training step on a CPU, by memory format, precision, norm, compilation and threads."""

import csv
import itertools
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from experiments.machine import machine
from galgen.data.parts import Batch
from galgen.models.cvae2 import CVAE2

RESULTS = Path(__file__).with_name("cpu.csv")
SIZES = {
    "demo": {"image_size": 64, "width": 16, "latent_dim": 16, "code_channels": 8},
    "full size": {"image_size": 158},
}
IMAGES = {"demo": 64, "full size": 16}
FORMATS = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
STEPS = 5


def main() -> None:
    """Measure, write cpu.csv, print the table."""
    cores, rows = torch.get_num_threads(), []
    settings = itertools.product(SIZES, ("batch", "group"), FORMATS, ("float32", "bfloat16"))
    for size, norm, form, precision in settings:
        times = {"threads 1": step_time(size, norm, form, precision, threads=1)}
        times[f"threads {cores}"] = step_time(size, norm, form, precision, threads=cores)
        times["compiled"] = step_time(size, norm, form, precision, cores, compiled=True)
        rates = {name: round(IMAGES[size] / seconds, 1) for name, seconds in times.items()}
        rows.append({"model": size, "norm": norm, "format": form, "precision": precision, **rates})
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
    size: str, norm: str, form: str, precision: str, threads: int, compiled: bool = False
) -> float:
    """Return the median time of a step, forward and backward, seconds."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = CVAE2(norm=norm, **SIZES[size])
    for network in (model.encoder, model.decoder):
        network.to(memory_format=FORMATS[form])
        if compiled:
            network.compile()
    n, side = IMAGES[size], model.image_size
    batch = Batch(image=torch.rand(n, side, side), index=torch.arange(n), redshift=torch.rand(n))
    times = []
    for _ in range(STEPS + 2):
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = model.loss(batch, 0.1).total
        loss.backward()
        times.append(time.perf_counter() - started)
    return sorted(times[2:])[STEPS // 2]


if __name__ == "__main__":
    main()
