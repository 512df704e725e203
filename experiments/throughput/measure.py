"""One measurement of training speed, in a process of its own; prints it as JSON.

It needs torch, Lightning and h5py, so that it runs on a machine that has nothing else of galgen's.
"""

import argparse
import json
import logging
import resource
import tempfile
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytorch_lightning as pl
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from galgen.data.batch import Batch
from galgen.data.data_module import SurveyDataModule
from galgen.data.stamp_file import SCHEMA
from galgen.data.transforms import Peak
from galgen.models.cvae import CVAE
from galgen.models.cvae2 import CVAE2
from galgen.models.fancy_cvae import FancyCVAE
from galgen.models.networks import Original, Residual
from galgen.models.posterior import kl_to_standard_normal
from galgen.models.spatial import Spatial
from galgen.models.vae import VAE
from galgen.training.callbacks import Accelerate, Checkpoint, LogRates, StopOnNonFinite
from galgen.training.checkpoint_io import AtomicCheckpointIO
from galgen.training.loggers import MetricsCSV
from galgen.training.memory_format import choose_memory_format
from galgen.training.model_training import ModelTraining

RESIDUAL = {
    "image_size": 64,
    "latent_dim": 16,
    "width": 16,
    "norm": "group",
    "output": "softplus",
    "network": Residual(),
    "flux_scale": 3.0,
}
GALAXY = {
    "image_size": 64,
    "latent_dim": 272,
    "width": 32,
    "norm": "group",
    "output": "sinh",
    "network": Spatial(vector=16),
    "flux_scale": 3.0,
    "telescope_planes": True,
}
"""Without the convolution with the PSF, which random stamps do not have."""
WIDE = Original(code_channels=8)
SMALL = {"image_size": 64, "width": 16, "latent_dim": 16, "network": WIDE}
MODELS = {
    "vae128": (VAE, {"image_size": 128, "network": Original(code_kernel=5)}),
    "vae158": (VAE, {"image_size": 158}),
    "cvae": (CVAE, {"image_size": 158}),
    "cvae2": (CVAE2, {"image_size": 158}),
    "fancy_cvae": (FancyCVAE, {"image_size": 158}),
    "residual_vae": (VAE, RESIDUAL),
    "residual_cvae": (CVAE2, RESIDUAL),
    "galaxy_vae": (VAE, GALAXY),
    "small_cvae2": (CVAE2, SMALL),
    "small_cvae2, 5 bands": (CVAE2, {**SMALL, "bands": list("grizy")}),
}
"""The models of conf/model, and a small one's, with the arguments that their configs give."""
WAYS = {
    "original": {},
    "default": {"precision": "32-true"},
    "fastest": {"precision": "bf16-mixed", "on_gpu": {"accelerate": True, "cache": "device"}},
}
"""Ways to train, with what galgen's does."""
GPU = torch.cuda.is_available()
WARM_UP = 3 if GPU else 1
"""Steps that are not timed; on a GPU kernels are chosen and compiled in them."""
PROFILED = 5 if GPU else 1
"""Steps under the profiler, after the timed ones."""


class PerItemStamps(Dataset):
    """The original's data set: one stamp and redshift at a time, read from the file."""

    def __init__(self, path: Path):
        file = h5py.File(path)
        names = ("images", "zphot") if "images" in file else ("image", "redshift")
        self.images, self.redshifts = (file[name] for name in names)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image = torch.tensor(self.images[i])
        return image.view(-1, *image.shape[-2:]), torch.tensor(self.redshifts[i])


class Clock(pl.Callback):
    """Times the steps of a training, and profiles the last ones."""

    def __init__(self, timed: int):
        self.timed = timed
        self.ends: list[float] = []

    def step_ended(self) -> None:
        """Take the time, and turn the profiler on and off."""
        waits = len(self.ends) in (0, WARM_UP - 1, WARM_UP + self.timed - 1)
        if GPU and waits:
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        done = len(self.ends) - WARM_UP - self.timed
        if done == 0:
            activities = [ProfilerActivity.CUDA] if GPU else [ProfilerActivity.CPU]
            self.profile = profile(activities=activities)
            self.profile.start()
        elif done == PROFILED:
            if GPU:
                torch.cuda.synchronize()
            self.profile.stop()

    def on_train_batch_end(self, *_):
        self.step_ended()

    @property
    def seconds(self) -> float:
        """Mean of a timed step on a GPU, which steps run ahead of; else the median."""
        ends = self.ends[WARM_UP - 1 : WARM_UP + self.timed]
        return (ends[-1] - ends[0]) / self.timed if GPU else float(np.median(np.diff(ends)))

    @property
    def outside_kernels(self) -> float:
        """Share of a step in which no operation of torch runs."""
        averages = self.profile.key_averages()
        micro = sum(a.self_device_time_total if GPU else _operation_time(a) for a in averages)
        return max(0.0, 1 - micro / 1e6 / PROFILED / self.seconds)


def _operation_time(average) -> float:
    kernels = average.key.startswith(("aten::", "mkldnn", "Optimizer"))
    return average.self_cpu_time_total if kernels else 0.0


def make_model(name: str) -> VAE:
    """Make a model of the table, with random weights."""
    torch.manual_seed(0)
    architecture, arguments = MODELS[name]
    return architecture(name=name, **arguments)


def train_the_original_way(name: str, path: Path, batch: int, clock: Clock, steps: int) -> None:
    """Train plainly: float32, stamps read one at a time, three `.item()` a step."""
    model = make_model(name).to("cuda" if GPU else "cpu")
    for network in (model.encoder, model.decoder):
        network.to(memory_format=torch.contiguous_format)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    totals = [0.0, 0.0, 0.0]
    loader = iter(DataLoader(PerItemStamps(path), batch, shuffle=True))
    for _ in range(steps):
        image, redshift = (values.to(model.device) for values in next(loader))
        q = model.encode(image, redshift)
        squared_error = (model.decode(q.rsample(), redshift) - image).square().sum()
        kl = kl_to_standard_normal(q).sum()
        loss = squared_error + 0.1 * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for term, value in enumerate((loss, squared_error, kl)):
            totals[term] += value.item()
        clock.step_ended()


def datamodule_of(path: Path, image_size: int, batch: int, **arguments) -> SurveyDataModule:
    """Make galgen's data module of a survey."""
    arguments |= {"image_size": image_size, "batch_size": batch}
    return SurveyDataModule(name="bench", file=str(path), transform=Peak(), **arguments)


def train_with_galgen(
    name: str, path: Path, batch: int, clock: Clock, steps: int, way: dict
) -> None:
    """Train galgen's way, with its callbacks, metrics.csv and a checkpoint at the end."""
    way = way | (way.get("on_gpu", {}) if GPU else {})
    model = make_model(name)
    device = torch.device("cuda" if GPU else "cpu")
    choose_memory_format(model, device, way["precision"])
    data = datamodule_of(path, model.image_size, batch, cache=way.get("cache", "ram"))
    with tempfile.TemporaryDirectory() as folder:
        pl.Trainer(
            max_epochs=1,
            limit_train_batches=steps,
            limit_val_batches=0,
            accelerator="gpu" if GPU else "cpu",
            devices=1,
            precision=way["precision"],
            benchmark=GPU,
            logger=MetricsCSV(Path(folder)),
            plugins=[AtomicCheckpointIO()],
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
            callbacks=[
                *([Accelerate()] if way.get("accelerate") else []),
                clock,
                StopOnNonFinite(),
                LogRates(),
                Checkpoint(folder, "last"),
            ],
        ).fit(ModelTraining(model), datamodule=data)


def write_survey(path: Path, stamps: int, image_size: int, bands: int = 1) -> None:
    """Write random stamps, compressed: in the original layout, or in galgen's for several bands."""
    rng = np.random.default_rng(0)
    side = (image_size, image_size) if bands == 1 else (bands, image_size, image_size)
    image, redshift = ("images", "zphot") if bands == 1 else ("image", "redshift")
    with h5py.File(path, "w") as file:
        images = file.create_dataset(
            image, (stamps, *side), "f4", chunks=(1, *side), compression="gzip"
        )
        for row in range(stamps):
            images[row] = np.where(rng.random(side) < 0.02, rng.random(side), 0)
        file[redshift] = rng.random(stamps).astype("f4")
        if bands > 1:
            file.attrs.update(
                {"galgen_schema": SCHEMA, "bands": [f"band {n}" for n in range(bands)]}
            )


def random_batch(model: VAE, n: int) -> Batch:
    """Make n galaxies of random pixels and redshifts, on the model's device."""
    size, device = model.image_size, model.device
    return Batch(
        image=torch.rand(n, model.bands, size, size, device=device),
        index=torch.arange(n, device=device),
        redshift=torch.rand(n, device=device),
    )


def flop_of_training(name: str) -> float:
    """Count the floating-point operations of a training step, forward and backward, an image."""
    model, n = make_model(name), 2
    with FlopCounterMode(display=False) as counter:
        batch = random_batch(model, n)
        noise = torch.zeros(n, model.latent_dim)
        model.loss(batch, 0.1, noise).total.backward()
    return counter.get_total_flops() / n


def main() -> None:
    """Measure a way to train a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("survey", type=Path)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, required=True, help="timed steps")
    parser.add_argument("--started", type=float, required=True, help="time of the start, Unix")
    asked = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    logging.getLogger("galgen").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    clock, steps = Clock(asked.steps), WARM_UP + asked.steps + PROFILED
    begun = time.time() - time.perf_counter()
    if asked.way == "original":
        train_the_original_way(asked.model, asked.survey, asked.batch, clock, steps)
    else:
        way = WAYS[asked.way]
        train_with_galgen(asked.model, asked.survey, asked.batch, clock, steps, way)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    measured = {
        "images_per_second": asked.batch / clock.seconds,
        "outside_kernels": clock.outside_kernels,
        "peak_memory_gb": (torch.cuda.max_memory_allocated() if GPU else memory) / 1e9,
        "first_step_s": begun + clock.ends[0] - asked.started,
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
