"""Throughput of training, reading and generating, against the original project's way, in one run.

python -m experiments.throughput          two models, for docs/performance.md: two minutes on a CPU
python -m experiments.throughput --all    all models at full size
"""

import argparse
import csv
import json
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.utils.data import DataLoader

from experiments.machine import machine
from experiments.throughput.measure import (
    GPU,
    MODELS,
    WAYS,
    PerItemStamps,
    datamodule_of,
    flop_of_training,
    make_model,
    write_survey,
)
from galgen.data.stamp_writing import write_stamps
from galgen.priors.random_numbers import standard_normal
from galgen.runs.model_weights import decode

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "performance.md"
MARKS = ("<!-- throughput: make bench -->\n", "<!-- /throughput -->\n")
STAMPS = 81_499
"""Of COSMOS F814W < 25.2: an epoch's time is given for as many."""
LABELS = {
    "original": "original's way",
    "default": "galgen",
    "fastest": "galgen, trainer=gpu" if GPU else "galgen, bfloat16",
}
PRECISIONS = {"original": "float32", "default": "float32", "fastest": "bfloat16"}
BATCH, LARGE_BATCH = 64, 512
"""The original's, and what fills an accelerator, where the fastest way is measured with it too."""
FULL_SIZE = 158
"""px"""
LOADER_SECONDS = 1.0
DEVICE = torch.device("cuda" if GPU else "cpu")


def main() -> None:
    """Measure, write the results, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="all models, at full size")
    parser.add_argument("--steps", type=int, default=50 if GPU else 2, help="timed, at full size")
    asked = parser.parse_args()
    logging.getLogger("galgen").setLevel(logging.ERROR)
    short = [name for name in MODELS if name.startswith("small")]
    names = [name for name in MODELS if name not in short] if asked.all else ["cvae2", *short]
    results = {**machine(), "matrix_gflops": matrix_rates(), "training": [], "generation": {}}
    with tempfile.TemporaryDirectory() as folder:
        surveys: dict[tuple[int, int], Path] = {}
        for name in names:
            model = make_model(name)
            size, bands = kind = model.image_size, model.bands
            steps = asked.steps if size > 100 else 10 * asked.steps
            if kind not in surveys:
                surveys[kind] = Path(folder) / f"{size}-{bands}.h5"
                large = 14 * LARGE_BATCH if GPU else 0
                stamps = max(BATCH * (steps + 9), large) * 5 // 4
                write_survey(surveys[kind], stamps, size, bands)
            results["training"] += training(name, surveys[kind], steps, results["matrix_gflops"])
            results["generation"][name] = generation_rate(name)
        results["loader"] = loader_rates(surveys[FULL_SIZE, 1])
    write(results, FOLDER / f"{'all' if asked.all else 'short'}-{DEVICE.type}")
    print(f"\n{markdown(results)}")
    if not asked.all and not GPU:
        write_page(markdown(results))


def training(name: str, survey: Path, steps: int, matrix_gflops: dict) -> list[dict]:
    """Measure the ways to train a model in turn, each in a process of its own."""
    flop, rows = flop_of_training(name), []
    ways = [(way, BATCH, steps) for way in WAYS]
    if GPU:
        ways.append(("fastest", LARGE_BATCH, 5))
    for way, batch, timed in ways:
        words = [sys.executable, "-m", "experiments.throughput.measure", name, way, str(survey)]
        words += [f"--batch={batch}", f"--steps={timed}", f"--started={time.time()}"]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        rate = measured["images_per_second"]
        rows.append(
            {
                "model": name,
                "way": way,
                "batch": batch,
                **measured,
                "times_original": rate / rows[0]["images_per_second"] if rows else 1.0,
                "gflop_per_image": flop / 1e9,
                "of_matrix_rate": flop * rate / 1e9 / matrix_gflops[PRECISIONS[way]],
                "epoch_s": STAMPS / rate,
            }
        )
        print(f"{name}, {LABELS[way]}, batch {batch}: {rate:.1f} images/s", flush=True)
    return rows


def matrix_rates() -> dict[str, float]:
    """Measure products of large matrices by type, GFLOP/s; of float32 as convolutions have them."""
    torch.set_float32_matmul_precision("high" if GPU else "highest")
    side, times = (8192, 20) if GPU else (2048, 5)
    rates = {}
    for name in ("float32", "bfloat16"):
        matrix = torch.randn(side, side, dtype=getattr(torch, name), device=DEVICE)
        product = matrix @ matrix
        wait()
        started = time.perf_counter()
        for _ in range(times):
            torch.matmul(matrix, matrix, out=product)
        wait()
        rates[name] = times * 2 * side**3 / (time.perf_counter() - started) / 1e9
    return rates


def generation_rate(name: str) -> float:
    """Generate galaxies; stamps/s."""
    model = make_model(name).to(DEVICE).eval()
    n = 4096 if GPU else (32 if model.image_size > 100 else 256)
    latent = torch.from_numpy(standard_normal(0, n, model.latent_dim)).to(DEVICE)
    redshift = torch.full((n,), 0.7, device=DEVICE) if model.conditional else None
    decode(model, latent, redshift)
    wait()
    started = time.perf_counter()
    decode(model, torch.from_numpy(standard_normal(0, n, model.latent_dim)).to(DEVICE), redshift)
    wait()
    return n / (time.perf_counter() - started)


def loader_rates(survey: Path) -> dict[str, float]:
    """Read batches as a model gets them, without one; stamps/s."""
    original = DataLoader(PerItemStamps(survey), BATCH, shuffle=True)
    rates = {"original's way": reading_rate(original, lambda batch: batch[0].to(DEVICE))}
    kinds = {"disk": {"cache": "none"}, "RAM": {}, "RAM, float16": {"cache_dtype": "float16"}}
    if GPU:
        kinds["device, augmented"] = {"cache": "device", "augment": True}
    with h5py.File(survey) as file:
        block = {"image": file["images"][:], "redshift": file["zphot"][:]}
    write_stamps(survey.with_suffix(".galgen.h5"), [block], {})
    for kind, arguments in kinds.items():
        data = datamodule_of(survey.with_suffix(".galgen.h5"), FULL_SIZE, BATCH, **arguments)
        data.setup()
        data.trainer = Training()
        loader = data.train_dataloader()
        rates[kind] = reading_rate(
            loader,
            lambda batch, data=data: data.on_after_batch_transfer(batch.to(DEVICE), 0).image,
        )
    return rates


class Training:
    """What a data module asks its trainer for."""

    global_rank, world_size, current_epoch, training = 0, 1, 0, True

    class strategy:
        root_device = DEVICE


def reading_rate(loader: DataLoader, finish) -> float:
    """Read epochs, once to warm up and then for a while; stamps/s."""
    for batch in loader:
        finish(batch)
    wait()
    started, stamps = time.perf_counter(), 0
    while time.perf_counter() - started < LOADER_SECONDS:
        stamps += sum(len(finish(batch)) for batch in loader)
        wait()
    return stamps / (time.perf_counter() - started)


def wait() -> None:
    """Wait for the accelerator."""
    if GPU:
        torch.cuda.synchronize()


def markdown(results: dict) -> str:
    """Write the tables, as the page has them."""
    lines = [
        "| training | batch | images/s | ratio | of the matrix rate | outside kernels "
        "| 81 499 stamps | peak memory | first step after |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results["training"]:
        size, width = described(row["model"])
        lines.append(
            f"| {row['model']}, {size} px, width {width}: {LABELS[row['way']]} | {row['batch']} "
            f"| {digits(row['images_per_second'])} | {row['times_original']:.2f} × "
            f"| {row['of_matrix_rate']:.0%} | {row['outside_kernels']:.0%} "
            f"| {digits(row['epoch_s'])} s | {row['peak_memory_gb']:.1f} GB "
            f"| {row['first_step_s']:.0f} s |"
        )
    step = max(row["images_per_second"] for row in results["training"] if full_size(row["model"]))
    read = [
        f"{kind} {digits(rate)} ({step / rate:.2%} of a step)"
        for kind, rate in results["loader"].items()
    ]
    made = [
        "{}, {} px, width {}: {}".format(name, *described(name), digits(rate))
        for name, rate in results["generation"].items()
    ]
    rates = results["matrix_gflops"]
    lines += [
        "",
        f"Reading stamps of {FULL_SIZE} px, stamps/s: {'; '.join(read)}.",
        f"Generating, stamps/s: {'; '.join(made)}.",
        f"{results['machine']}; torch {results['versions']['torch']}; products of matrices: "
        f"{digits(rates['float32'])} GFLOP/s in float32, {digits(rates['bfloat16'])} in bfloat16.",
    ]
    return "\n".join(lines) + "\n"


def described(name: str) -> tuple[int, int]:
    """Return image size and width of a model."""
    arguments = MODELS[name][1]
    return arguments["image_size"], arguments.get("width", 64)


def full_size(name: str) -> bool:
    """Say whether a model takes stamps of the survey that reading is measured on."""
    return described(name)[0] == FULL_SIZE


def digits(number: float) -> str:
    """Write a number with three digits, in groups of three from ten thousand on."""
    if number < 1000:
        return f"{number:.3g}"
    return f"{float(f'{number:.3g}'):,.0f}".replace(",", " ")


def write(results: dict, path: Path) -> None:
    """Write results as JSON, the trainings as CSV, and their figure."""
    path.with_suffix(".json").write_text(json.dumps(results, indent=2) + "\n")
    rows = results["training"]
    with open(path.with_suffix(".csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    figure(results).savefig(path.with_suffix(".png"), dpi=150, bbox_inches="tight")


def figure(results: dict):
    """Draw how many times as fast as the original's way training is, a group of bars a model."""
    rows = results["training"]
    names = list(dict.fromkeys(row["model"] for row in rows))
    kinds = list(dict.fromkeys((row["way"], row["batch"]) for row in rows))
    drawn, axes = plt.subplots(figsize=(7.1, 3.2))
    width = 0.84 / len(kinds)
    for number, (way, batch) in enumerate(kinds):
        chosen = [row for row in rows if (row["way"], row["batch"]) == (way, batch)]
        place = np.arange(len(names)) + (number - (len(kinds) - 1) / 2) * width
        heights = [row["times_original"] for row in chosen]
        bars = axes.bar(place, heights, width=width, label=f"{LABELS[way]}, batch {batch}")
        axes.bar_label(bars, [digits(row["images_per_second"]) for row in chosen], fontsize=6)
    labels = ["{}\n{} px\nwidth {}".format(name, *described(name)) for name in names]
    axes.set_xticks(range(len(names)), labels, fontsize=7)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_ylabel("times the original's way\n(numbers: images/s)", fontsize=8)
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1)}
    axes.legend(frameon=False, fontsize=7, ncols=len(kinds), **above)
    axes.spines[["top", "right"]].set_visible(False)
    return drawn


def write_page(tables: str) -> None:
    """Put the tables between their marks in the page."""
    text = PAGE.read_text()
    before, _, rest = text.partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        sys.exit(f"{PAGE} has no {MARKS[0].strip()} ... {MARKS[1].strip()}")
    PAGE.write_text(before + MARKS[0] + tables + MARKS[1] + after)


if __name__ == "__main__":
    main()
