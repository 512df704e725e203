"""`python -m galgen.import_weights`: turn an original weight file into a run directory.

Nothing in the file is executed: it may hold tensors and plain values alone.
"""

import hashlib
import io
import pickle
import re
from pathlib import Path

from omegaconf import DictConfig

from galgen.config.command import command
from galgen.config.targets import check_arguments, check_targets, instantiate
from galgen.errors import GalgenError, Unreadable
from galgen.files import expand, reading
from galgen.runs.directory import Run

HARMLESS = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
}
"""What a pickle of tensors and plain values refers to. NumPy's types are not among them: their
state can make an array of arbitrary pointers."""
TORCH_FORMATS = (b"PK", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")
"""How files of `torch.save` begin: a zip archive, or, before torch 1.6, a magic number."""


@command("import_weights", resumes=False)
def main(config: DictConfig) -> None:
    """Check the weights against the model and write them as a finished run."""
    file = expand(config.file).absolute()
    if config.model.image_size != config.data.image_size:
        raise GalgenError(
            f"{config.model.name} is made for {config.model.image_size} px and data.image_size is "
            f"{config.data.image_size}. Choose the survey it was trained on, such as "
            "data=deepfield."
        )
    check_targets(config)
    state, settings = read_original(file)
    adopt_sizes(config, state, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not config.run_name:
        config.run_name = f"imported-{config.model.name}-z{config.model.latent_dim}-{digest[:8]}"
    run = Run(config)
    check_arguments(config)
    if not config.overwrite:
        check_place(run, digest)
    write_run(config, run, state, {"file": str(file), "sha256": digest, "settings": settings})
    print(f"{run.directory}: {config.model.name} with the weights of {file}")


def read_original(file: Path) -> tuple[dict, dict]:
    """Read a pickled list of a state dict and a dictionary of training settings.

    Args:
        file: written by `torch.save` or `pickle.dump`.

    Returns:
        The state dict (names to tensors), and the settings as plain values.

    Raises:
        GalgenError: if the file is missing, damaged, holds anything executable, or has
            another structure.
    """
    try:
        content = _read_without_executing(file)
    except Unreadable:
        raise
    except FileNotFoundError as error:
        raise GalgenError(f"file={file}: there is no such file. Correct the path.") from error
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL (\S+)|refers to (\S+)", str(error))
        what = f", such as {name[1] or name[2]}" if name else ""
        raise GalgenError(
            f"{file}: refused, it is damaged or holds more than tensors and plain values{what}."
        ) from error
    except Exception as error:  # damaged pickles raise nearly anything
        raise GalgenError(f"{file}: not a weight file, or damaged ({error!r}).") from error
    if not (isinstance(content, list | tuple) and len(content) == 2) or not all(
        isinstance(part, dict) for part in content
    ):
        raise GalgenError(f"{file}: an original weight file is a list [state dict, settings].")
    import torch

    state, settings = content
    strays = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if strays or not state:
        raise GalgenError(f"{file}: its state dict holds more than tensors ({strays[:3]}).")
    plain = {
        str(name): value.tolist() if isinstance(value, torch.Tensor) else value
        for name, value in settings.items()
    }
    return dict(state), plain


def adopt_sizes(config: DictConfig, state: dict, file: Path) -> None:
    """Set the model's width and latent size to those of the weights.

    Raises:
        GalgenError: if the weights are of no known model.
    """
    try:
        config.model.width = state["encoder.layers.0.weight"].shape[0]
        config.model.latent_dim = state["encoder.linear1.bias"].shape[0]
    except (KeyError, IndexError) as error:
        raise GalgenError(f"{file}: these weights do not belong to a model of galgen.") from error


def check_place(run: Run, digest: str) -> None:
    """Check that the run directory is new, or holds these weights already.

    Raises:
        GalgenError: if it holds anything else.
    """
    held = [path.name for path in run.directory.iterdir()] if run.directory.is_dir() else []
    imported = (run.result or {}).get("imported", {})
    if set(held) - {".lock"} and imported.get("sha256") != digest:
        raise GalgenError(
            f"run_name={run.config.run_name}: {run.directory} exists and holds something else. "
            "Give another run_name, or overwrite=true to replace that run."
        )
    run.check_config()


def write_run(config: DictConfig, run: Run, state: dict, source: dict) -> None:
    """Check that the weights fit the model, and write the run directory."""
    from galgen.models.checkpoints import load_weights, write_checkpoint

    model = instantiate(config.model)
    load_weights(model, state, source["file"])
    with run.lock():
        if config.overwrite:
            run.clear()
        run.remember({"survey": config.data.name, "transform": scales(config), **source})
        path = run.directory / "checkpoints" / "best.ckpt"
        write_checkpoint({"state_dict": model.state_dict()}, path)
        run.finish({"imported": source})


def scales(config: DictConfig) -> dict:
    """Say how the original images were scaled; those in no unit of the noise are as they are."""
    transform = {"name": config.transform._target_.rsplit(".", 1)[1].lower()}
    if "scale" in config.transform:
        transform["scale"] = config.transform.scale or 1.0
    return transform


def _read_without_executing(file: Path):
    import torch

    with reading(file):
        data = file.read_bytes()
    if data.startswith(TORCH_FORMATS):
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return _HarmlessUnpickler(io.BytesIO(data)).load()


class _HarmlessUnpickler(pickle.Unpickler):
    """Unpickler that resolves the names in HARMLESS alone."""

    def find_class(self, module: str, name: str):
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return _load_storage
        if (module, name) in HARMLESS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it refers to {module}.{name}")


def _load_storage(data: bytes):
    import torch

    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


if __name__ == "__main__":
    main()
