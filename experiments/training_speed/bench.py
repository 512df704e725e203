"""Training and loading speed, galgen's against the original project's way, in one run.

Both train the same cvae2 on the same random stamps. The original's way, written plainly: float32,
a DataLoader that reads one stamp at a time from HDF5, and three `.item()` a step.
"""

import argparse
import json
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from galgen.callbacks import LogRates, SeedSteps, StopOnNonFinite
from galgen.data.datamodules import CosmosDataModule
from galgen.data.transforms import Peak
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


def original_steps(path: Path, image_size: int, width: int, steps: int) -> float:
    """Train the original's way; return images/s after the first step."""
    model = CVAE2(image_size=image_size, width=width)
    for network in (model.encoder, model.decoder):
        network.to(memory_format=torch.contiguous_format)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    totals, start, done = [0.0, 0.0, 0.0], None, 0
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
        if start is None:
            start = time.perf_counter()
        else:
            done += len(image)
    return done / (time.perf_counter() - start)


class Clock(pl.Callback):
    """Times of every training step, and of the epoch around them."""

    def __init__(self):
        self.ends, self.spent = [], 0.0

    def on_train_batch_start(self, *_):
        self.begun = time.perf_counter()

    def on_train_batch_end(self, trainer, *_):
        self.ends.append(time.perf_counter())
        self.spent += self.ends[-1] - self.begun

    def on_train_epoch_start(self, *_):
        self.epoch = time.perf_counter()

    def on_train_epoch_end(self, *_):
        self.epoch_seconds = time.perf_counter() - self.epoch


def datamodule_of(path: Path, image_size: int) -> CosmosDataModule:
    """Make galgen's data module of a survey."""
    return CosmosDataModule(
        name="bench", file=str(path), image_size=image_size, transform=Peak(), batch_size=BATCH
    )


def galgen_steps(path: Path, image_size: int, width: int, steps: int) -> tuple[float, float]:
    """Train galgen's way; return images/s after the first step, and the overhead's share."""
    torch.manual_seed(0)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            max_epochs=1,
            limit_train_batches=steps + 1,
            limit_val_batches=0,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
            callbacks=[clock, SeedSteps(0), StopOnNonFinite(), LogRates()],
        )
        model = CVAE2(image_size=image_size, width=width)
        trainer.fit(model, datamodule=datamodule_of(path, image_size))
    rate = BATCH * steps / (clock.ends[-1] - clock.ends[0])
    return rate, 1 - clock.spent / clock.epoch_seconds


def loader_rates(path: Path, image_size: int) -> tuple[float, float]:
    """Read an epoch of shuffled batches the original's way and galgen's; stamps/s."""
    rates = []
    datamodule = datamodule_of(path, image_size)
    datamodule.setup()
    for loader in (DataLoader(PerItemStamps(path), BATCH, shuffle=True),
                   datamodule.train_dataloader()):  # fmt: skip
        for _ in loader:  # once to warm up
            pass
        start, stamps = time.perf_counter(), 0
        for batch in loader:
            stamps += len(batch[0] if isinstance(batch, list) else batch.image)
        rates.append(stamps / (time.perf_counter() - start))
    return rates[0], rates[1]


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
    """Measure both ways in turn, twice, and keep each one's better turn."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "survey.h5"
        write_survey(path, max(BATCH * (steps + 2) * 10 // 8, 640), image_size)
        original, galgen = [], []
        for _ in range(2):
            original.append(original_steps(path, image_size, width, steps))
            galgen.append(galgen_steps(path, image_size, width, steps))
        per_item, batched = loader_rates(path, image_size)
    rate, overhead = max(galgen)
    return {
        "model": f"cvae2, {image_size} px, width {width}, batch {BATCH}",
        "original_images_per_second": max(original),
        "galgen_images_per_second": rate,
        "overhead_outside_steps": overhead,
        "original_loader_stamps_per_second": per_item,
        "galgen_loader_stamps_per_second": batched,
    }


def machine() -> dict:
    """Describe the machine and the versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "CPU")
    return {
        "machine": f"{cpu}, {torch.get_num_threads()} threads, {platform.system()}",
        "versions": {name: version(name) for name in ("galgen", "torch", "pytorch-lightning")},
    }


def show(results: list[dict], console: Console) -> None:
    """Print the table."""
    table = Table("", "original's way", "galgen", "ratio")
    for row in results:
        for kind, unit in (("images", "training, images/s"), ("loader_stamps", "loader, stamps/s")):
            old, new = (row[f"{who}_{kind}_per_second"] for who in ("original", "galgen"))
            table.add_row(f"{row['model']}: {unit}", f"{old:.1f}", f"{new:.1f}", f"{new / old:.2f}")
        share = f"{100 * row['overhead_outside_steps']:.1f} %"
        table.add_row(f"{row['model']}: epoch outside the steps", "", share, "")
    console.print(table)


def main() -> None:
    """Measure, print the table and write results.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3, help="timed steps at full size")
    steps = parser.parse_args().steps
    results = [measure(158, 64, steps), measure(64, 16, 20 * steps)]
    show(results, Console())
    RESULTS.write_text(json.dumps({**machine(), "results": results}, indent=2) + "\n")
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
