"""Checkpoints: written whole or not at all, read without executing anything in them."""

import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import torch

from galgen.errors import DamagedCheckpoint, GalgenError, Unreadable
from galgen.files import reading, written_whole


def write_checkpoint(checkpoint: dict, path: Path) -> None:
    """Write a checkpoint of tensors and plain values, whole or not at all.

    Args:
        checkpoint: its content.
        path: the file.
    """
    buffer = io.BytesIO()  # torch's own writer hides the reason of a failed write
    torch.save(checkpoint, buffer)
    with written_whole(path) as part:
        part.write_bytes(buffer.getbuffer())


def read_checkpoint(path: Path, map_location=None) -> dict:
    """Read a checkpoint of tensors and plain values.

    Args:
        path: a `.ckpt` file.
        map_location: device for the tensors.

    Raises:
        DamagedCheckpoint: if the file is damaged or truncated.
        GalgenError: if it is missing, or holds anything else.
    """
    return read_and_hash(path, map_location)[0]


def read_and_hash(path: Path, map_location=None) -> tuple[dict, str]:
    """Read a checkpoint as `read_checkpoint` does, and hash the file."""
    try:
        with reading(path):
            content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.testzip():  # torch does not look at the checksums
                raise zipfile.BadZipFile
        checkpoint = torch.load(
            io.BytesIO(content), map_location=map_location or "cpu", weights_only=True
        )
    except FileNotFoundError as error:
        raise GalgenError(f"{path}: there is no such checkpoint.") from error
    except (Unreadable, MemoryError):
        raise
    except pickle.UnpicklingError as error:
        raise GalgenError(
            f"{path}: refused, it is not a checkpoint or holds more than tensors and plain values."
        ) from error
    except Exception as error:  # damaged pickles raise nearly anything
        raise DamagedCheckpoint(f"{path}: the checkpoint is damaged or truncated.") from error
    if not (isinstance(checkpoint, dict) and isinstance(checkpoint.get("state_dict"), dict)):
        raise GalgenError(f"{path}: not a checkpoint: it has no state_dict.")
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
            f"{expected.get(first, 'not known')} in {type(model).__name__}."
        )
    model.load_state_dict(state)
