"""Checkpoints: written whole or not at all, read without executing anything in them."""

import hashlib
import io
import logging
import math
import pickle
from pathlib import Path

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from galgen import runs
from galgen.config import check_targets, explain, instantiate
from galgen.errors import GalgenError
from galgen.files import written_whole

log = logging.getLogger(__name__)

OF_MODELS = ("galgen.models", "galgen.beta_schedules", "torch.nn", "torch.optim")
"""Where the classes come from that make up a model."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, renamed into place when complete, read with weights_only."""

    def save_checkpoint(self, checkpoint: dict, path: str, storage_options=None) -> None:
        """Write a checkpoint to a temporary file beside `path`, then rename it."""
        buffer = io.BytesIO()  # torch's own writer hides the reason of a failed write
        torch.save(checkpoint, buffer)
        with written_whole(Path(path)) as part:
            part.write_bytes(buffer.getbuffer())

    def load_checkpoint(self, path: str, map_location=None, weights_only=None) -> dict:
        """Read a checkpoint; nothing but tensors and plain values."""
        return read_checkpoint(Path(path), map_location)


def read_checkpoint(path: Path, map_location=None) -> dict:
    """Read a checkpoint of tensors and plain values.

    Args:
        path: a `.ckpt` file.
        map_location: device for the tensors.

    Raises:
        GalgenError: if the file is missing, damaged, or holds anything else.
    """
    return _read(path, map_location)[0]


def _read(path: Path, map_location=None) -> tuple[dict, str]:
    """Read a checkpoint, and hash what was read."""
    try:
        content = path.read_bytes()
        checkpoint = torch.load(
            io.BytesIO(content), map_location=map_location or "cpu", weights_only=True
        )
    except FileNotFoundError as error:
        raise GalgenError(f"{path}: there is no such checkpoint") from error
    except pickle.UnpicklingError as error:
        raise GalgenError(
            f"{path}: refused, it is no checkpoint or holds more than tensors and plain values"
        ) from error
    except Exception as error:  # damaged pickles raise nearly anything
        raise GalgenError(f"{path}: the checkpoint is damaged or truncated") from error
    if not (isinstance(checkpoint, dict) and isinstance(checkpoint.get("state_dict"), dict)):
        raise GalgenError(f"{path}: no checkpoint, it has no state_dict")
    return checkpoint, hashlib.sha256(content).hexdigest()


def load_weights(model: torch.nn.Module, state: dict, source: str | Path) -> None:
    """Load weights that must fit the model exactly.

    Args:
        model: the module.
        state: its state dict.
        source: where the weights come from, for the message.

    Raises:
        GalgenError: if a name or a shape differs; the message names the first.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(getattr(tensor, "shape", ())) for name, tensor in state.items()}
    different = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if different:
        first = different[0]
        raise GalgenError(
            f"{source}: the weights are another model's, {len(different)} of {len(expected)} "
            f"entries differ; {first} is {found.get(first, 'missing')} there and "
            f"{expected.get(first, 'not known')} in {type(model).__name__}"
        )
    model.load_state_dict(state)


def load_model(run: str | Path, checkpoint: str | None = None):
    """Build a run's model and load its weights; see `galgen.load`.

    The model's `trained_redshifts` are the smallest and the largest of the training part.
    """
    directory = Path(run).expanduser()
    config = runs.read_config(directory).model
    finished, path = runs.is_finished(directory), runs.checkpoint_path(directory, checkpoint)
    if not path.is_file():
        raise GalgenError(f"{directory} has no {path.stem} checkpoint yet: {path} is missing")
    check_targets(config, OF_MODELS)
    try:
        model = instantiate(config)
    except Exception as error:  # whatever a class makes of arguments that somebody changed
        raise GalgenError(f"{directory}/config.yaml: {explain(error)}") from error
    state, model.weights_sha256 = _read(path)
    load_weights(model, state["state_dict"], path)
    if not all(weights.isfinite().all() for weights in model.parameters()):
        raise GalgenError(f"{path}: its weights are not finite, the model makes nothing")
    if not finished:
        epochs = state.get("epoch", -1) + 1
        log.warning("%s is not finished: these are its weights of epoch %d", directory, epochs)
    redshift = runs.read_facts(directory).get("redshift") or {"min": 0.0, "max": math.inf}
    model.trained_redshifts = (redshift["min"], redshift["max"])
    return model.eval().requires_grad_(False)
