"""`python -m galgen.export`: write a run's encoder and decoder for other programs."""

import contextlib
import importlib.util
import warnings
from pathlib import Path

from omegaconf import DictConfig

from galgen.config.command import command
from galgen.config.run_paths import results_folder
from galgen.errors import GalgenError
from galgen.files import refuse_to_replace, written_whole

TOLERANCE = 1e-5
"""Largest `|difference| / max(1, |value|)` between a file and the model."""
TRACED, CHECKED = 3, (1, 5)
"""Galaxies in the batch that a network is traced with, and in those that its file is checked on."""


FORMATS = {
    "onnx": ("onnx", ("onnx", "onnxscript", "onnxruntime")),
    "safetensors": ("safetensors", ("safetensors",)),
    "torchscript": ("pt", ()),
}
"""Ending of the files and packages needed, by format."""


@command("export", words="run", resumes=False)
def main(config: DictConfig) -> None:
    """Write encoder and decoder in a format, each checked against the model."""
    if str(config.format) not in FORMATS:
        raise GalgenError(f"format={config.format}: there are {', '.join(FORMATS)}.")
    ending, packages = FORMATS[config.format]
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise GalgenError(
            f"format={config.format}: this needs {', '.join(missing)}, not installed here. "
            "pip install 'galgen[export]'"
        )
    folder = Path(str(config.out or results_folder(Path(config.run)) / "export"))
    if folder.exists() and not folder.is_dir():
        raise GalgenError(f"out={folder}: this is a file. Give out=<folder>.")
    paths = {name: folder / f"{name}.{ending}" for name in ("encoder", "decoder")}
    if not config.overwrite:
        refuse_to_replace(folder, paths.values())
    from galgen.runs.trained_run import TrainedRun

    run = TrainedRun(config.run, device="cpu")
    for path, difference in export(run, config.format, paths).items():
        print(f"{path}: read back, it differs from the model by at most {difference:.2g}")


def export(run, kind: str, paths: dict[str, Path]) -> dict[Path, float]:
    """Write all networks of a run, or none; each is read back and checked.

    Args:
        run: `TrainedRun` on the CPU.
        kind: `onnx`, `safetensors` or `torchscript`.
        paths: files by network, `encoder` or `decoder`.

    Returns:
        The largest difference from the model, by file.

    Raises:
        GalgenError: if a file differs from the model by more than TOLERANCE.
    """
    from galgen.catalogues.exported_networks import (
        WRITERS,
        largest_difference,
        metadata,
        networks,
        random_inputs,
    )

    originals, differences = networks(run.model), {}
    with warnings.catch_warnings(action="ignore"), contextlib.ExitStack() as files:
        for name, network in networks(run.model).items():
            part = files.enter_context(written_whole(paths[name]))
            example = random_inputs(run.model, network, TRACED)
            facts = metadata(run, name, network)
            read_back = WRITERS[kind](network, example, facts, part)
            difference = differences[paths[name]] = max(
                largest_difference(read_back, originals[name], random_inputs(run.model, network, n))
                for n in CHECKED
            )
            if difference > TOLERANCE:
                raise GalgenError(
                    f"{paths[name]} is not written: it would differ from the model by "
                    f"{difference:.2g}, more than {TOLERANCE:g}."
                )
    return differences


if __name__ == "__main__":
    main()
