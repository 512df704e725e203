"""Run the code blocks of README.md and docs/ in empty folders, with small sizes: `make docs-check`.

Each block runs in a process of its own. The README has a folder, and so have the pages of docs/
together, in the order of reading. `python -m tests.check_docs getting_started using` checks these
pages alone.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits

from tests.data.band_scene import BLUE, BLUE_NOISE
from tests.data.cutout_scene import write_bands
from tests.data.mosaic_scene import HEADER, IMAGE, NOISE, TRUTH, WORLD
from tests.documents import OWN_TEST, README, ROOT, Block, blocks, documents

LIMIT = 1800
"""Seconds for a block, on a busy machine."""
SURVEY, EPOCHS = "data.image_size=32", "trainer.max_epochs=2"
SMALL = {
    "prepare": SURVEY,
    "describe": SURVEY,
    "train": f"{SURVEY} data.batch_size=16 model.width=4 model.latent_dim=4 {EPOCHS} "
    "trainer.accelerator=cpu",
    "evaluate": "n=100 seeds=1",
    "generate": "n=20",
}
"""Overrides that are appended to a command."""
GALAXIES = "data.galaxies=1200"
"""Appended where the survey is the simulated one."""
FLOW_MATCHING = "prior.flow_matching.max_epochs=2 prior.flow_matching.depth=1"
"""Appended where that prior is fitted."""
OBJECTIVE = "search.objective=gmm.c2st_latents"
"""Appended to a search: a score that needs no galaxies that can be measured."""


def small(code: str) -> str:
    """Append the small sizes to the commands of a shell block."""
    return "\n".join(map(_small_line, code.replace("\\\n", " ").splitlines())) + "\n"


def _small_line(line: str) -> str:
    command = re.search(r"\bgalgen[ .]([a-z_]+)\b", line)
    if command is None:
        return line
    line, name = line.partition("  # ")[0].rstrip(), command[1]
    words = SMALL.get(name, "")
    if "trainer.max_epochs=" in line:
        words = words.replace(EPOCHS, "")
    if name in ("prepare", "describe", "train") and not re.search(r"\bdata=(?!simulated)", line):
        words += f" {GALAXIES}"
    recommended = name == "train" and not re.search(r"\b(model|experiment)=(?!galaxy|demo)", line)
    if recommended:
        words = words.replace("latent_dim=4", "latent_dim=80")  # a map of one channel
    if "prior=flow_matching" in line or (recommended and "prior=" not in line):
        words += f" {FLOW_MATCHING}"
    if "search.objective=" in line:
        words += f" {OBJECTIVE}"
    return f"{line} {words}"


def run(block: Block, folder: Path, cache: Path) -> subprocess.CompletedProcess:
    """Run a block, or write the file that it is the content of."""
    if block.file:
        (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.file).write_text(block.code)
    shell = ["bash", "-ec", small(block.code)]
    command = shell if block.language == "sh" else [sys.executable, "-c", block.code]
    command = ["true"] if block.file else command
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GALGEN_CACHE": str(cache)}
    environment.setdefault("OMP_NUM_THREADS", "1")
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )


def write_mosaic(folder: Path) -> None:
    """Write the images and the catalogue that the page about surveys cuts stamps from."""
    for band, image, noise in (("f160w", IMAGE, NOISE), ("f814w", BLUE, BLUE_NOISE)):
        fits.writeto(folder / f"{band}.fits", image, HEADER)
        fits.writeto(folder / f"{band}_rms.fits", 0 * image + noise, HEADER)
    for tile, where in {"tile1": np.s_[:, :190], "tile2": np.s_[:, 110:]}.items():
        fits.writeto(folder / f"{tile}.fits", IMAGE[where], WORLD[where].to_header())
    TRUTH["id", "ra", "dec", "z"].write(folder / "photoz.csv", format="ascii.csv")


def write_cutouts(folder: Path) -> None:
    """Write the cutouts and the table of the page about surveys."""
    write_bands(folder, range(60))
    rows = [f"{number},{0.1 + number / 20}\n" for number in range(60)]
    (folder / "galaxies.csv").write_text("id,redshift\n" + "".join(rows))


def main(pages: list[str]) -> int:
    """Run all blocks that can run; return how many failed."""
    failed, left_out = 0, []
    with tempfile.TemporaryDirectory() as place:
        folders = {name: Path(place) / name for name in ("readme", "docs")}
        for folder in folders.values():
            folder.mkdir()
        write_mosaic(folders["docs"])
        write_cutouts(folders["docs"])
        for page in documents():
            if pages and page.stem not in pages:
                continue
            folder = folders["readme" if page == README else "docs"]
            for block in blocks(page):
                label = f"{page.relative_to(ROOT)}:{block.line}"
                if block.language not in ("sh", "python") and not block.file:
                    continue
                reason = "tests/test_extending.py does" if page.stem == OWN_TEST else block.not_run
                if reason:
                    left_out.append(f"{label}: {reason}")
                    continue
                started = time.perf_counter()
                done = run(block, folder, Path(place) / "cache")
                verdict = "ok" if done.returncode == 0 else f"FAILED ({done.returncode})"
                print(f"{label}: {verdict}, {time.perf_counter() - started:.0f} s", flush=True)
                if done.returncode:
                    failed += 1
                    print(small(block.code) + done.stdout, flush=True)
    print("\nnot run:", *left_out, sep="\n  ")
    print(f"\n{failed} blocks failed")
    return failed


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
