"""Training speed, galgen's against the original project's way, in one run.

Both train the same cvae2 on the same random stamps. The original's way, written plainly: float32,
a DataLoader that reads one stamp at a time from HDF5, and three `.item()` a step.
"""

import argparse
import json
import logging
import platform
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from galgen.callbacks import Checkpoint, LogRates, SeedSteps, StopOnNonFinite
from galgen.checkpoints import AtomicCheckpointIO
from galgen.data.surveys import CosmosDataModule
from galgen.data.transforms import Peak
from galgen.loggers import MetricsCSV
from galgen.models.cvae2 import CVAE2
from galgen.models.vae import kl_to_standard_normal

RESULTS = Path(__file__).parent / "results.json"
BATCH = 64


class PerItemStamps(Dataset):
    """The original's data set: one stamp and redshift at a time, read from the file."""

    def __init__(self, path: Path):
        self.file = h5py.File(path)

    def __len__(self):
        return len(self.file["images"])

    def __getitem__(self, i):
        return torch.tensor(self.file["images"][i]), torch.tensor(self.file["zphot"][i])


def original_steps(path: Path, image_size: int, width: int, steps: int) -> list[float]:
    """Train the original's way; return the seconds of each step but the first."""
    model = CVAE2(image_size=image_size, width=width)
    for network in (model.encoder, model.decoder):
        network.to(memory_format=torch.contiguous_format)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    totals, ends = [0.0, 0.0, 0.0], []
    batches = iter(DataLoader(PerItemStamps(path), BATCH, shuffle=True))
    for _ in range(steps + 1):
        image, redshift = next(batches)
        q = model.encode(image, redshift)
        squared_error = (model.decode(q.rsample(), redshift) - image).square().sum()
        kl = kl_to_standard_normal(q).sum()
        loss = squared_error + 0.1 * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for term, value in enumerate((loss, squared_error, kl)):
            totals[term] += value.item()
        ends.append(time.perf_counter())
    return np.diff(ends).tolist()


class Clock(pl.Callback):
    """Times of the training steps, and of the whole training around them."""

    def __init__(self):
        self.ends, self.in_steps = [], 0.0

    def on_train_start(self, *_):
        self.started = time.perf_counter()

    def on_train_batch_start(self, *_):
        self.begun = time.perf_counter()

    def on_train_batch_end(self, *_):
        self.ends.append(time.perf_counter())
        self.in_steps += self.ends[-1] - self.begun

    def on_train_end(self, *_):
        self.overhead = 1 - self.in_steps / (time.perf_counter() - self.started)


def datamodule_of(path: Path, image_size: int, **arguments) -> CosmosDataModule:
    """Make galgen's data module of a survey."""
    arguments |= {"image_size": image_size, "batch_size": BATCH}
    return CosmosDataModule(name="bench", file=str(path), transform=Peak(), **arguments)


def galgen_steps(
    path: Path, image_size: int, width: int, steps: int, precision: str
) -> tuple[list[float], float]:
    """Train galgen's way, with its callbacks, metrics.csv and a checkpoint at the end.

    Returns:
        The seconds of each step but the first, and the share of the time outside the steps.
    """
    torch.manual_seed(0)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            max_epochs=1,
            limit_train_batches=steps + 1,
            limit_val_batches=0,
            accelerator="cpu",
            precision=precision,
            logger=MetricsCSV(folder),
            plugins=[AtomicCheckpointIO()],
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
            callbacks=[
                clock,
                SeedSteps(0),
                StopOnNonFinite(),
                LogRates(),
                Checkpoint(folder, "last"),
            ],
        )
        model = CVAE2(image_size=image_size, width=width)
        trainer.fit(model, datamodule=datamodule_of(path, image_size))
    return np.diff(clock.ends).tolist(), clock.overhead


def write_survey(path: Path, stamps: int, image_size: int) -> None:
    """Write random stamps in the original layout, compressed as it was."""
    rng = np.random.default_rng(0)
    images = np.where(rng.random((stamps, image_size, image_size)) < 0.02, 1.0, 0.0)
    images *= rng.random(images.shape)
    with h5py.File(path, "w") as file:
        chunk = (1, image_size, image_size)
        file.create_dataset("images", data=images.astype("f4"), chunks=chunk, compression="gzip")
        file["zphot"] = rng.random(stamps).astype("f4")


def measure(image_size: int, width: int, steps: int) -> dict:
    """Measure the ways in turn, three times; rates are those of the median step."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "survey.h5"
        write_survey(path, BATCH * (steps + 1) * 5 // 4, image_size)
        seconds, overheads = {"original": [], "galgen": [], "bf16": []}, []
        for _ in range(3):
            seconds["original"] += original_steps(path, image_size, width, steps)
            for way, precision in (("galgen", "32-true"), ("bf16", "bf16-mixed")):
                steps_taken, overhead = galgen_steps(path, image_size, width, steps, precision)
                seconds[way] += steps_taken
                if way == "galgen":
                    overheads.append(overhead)
    return {
        "model": f"cvae2, {image_size} px, width {width}",
        "training": {way: BATCH / float(np.median(times)) for way, times in seconds.items()},
        "outside_steps": float(np.median(overheads)),
    }


def machine() -> dict:
    """Describe the machine and the versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "CPU")
    return {
        "machine": f"{cpu}, {torch.get_num_threads()} threads, {platform.system()}",
        "versions": {name: version(name) for name in ("galgen", "torch", "pytorch-lightning")},
    }


def show(results: list[dict]) -> None:
    """Print the table."""
    columns = ("", "original's way", "galgen", "ratio", "galgen, bf16", "outside steps")
    table = Table(*columns, title=f"batch {BATCH}")
    for row in results:
        old, new, half = (row["training"][way] for way in ("original", "galgen", "bf16"))
        table.add_row(
            f"{row['model']}, images/s",
            f"{old:.1f}",
            f"{new:.1f}",
            f"{new / old:.2f}",
            f"{half:.1f}",
            f"{100 * row['outside_steps']:.1f} %",
        )
    Console(width=110).print(table)


def main() -> None:
    """Measure, print the table and write results.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3, help="timed steps at full size")
    steps = parser.parse_args().steps
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    logging.getLogger("galgen").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    results = [measure(158, 64, steps), measure(64, 16, 20 * steps)]
    show(results)
    RESULTS.write_text(json.dumps({**machine(), "results": results}, indent=2) + "\n")
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
