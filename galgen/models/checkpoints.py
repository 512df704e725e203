"""Checkpoints: written whole or not at all, read without executing anything in them."""

import hashlib
import io
import json
import pickle
import zipfile
from pathlib import Path

import torch

from galgen.errors import DamagedCheckpoint, GalgenError, Unreadable
from galgen.files import reading, written_whole

PLAIN = "galgen"
"""Key of a safetensors file's metadata: all that is not a tensor, as JSON."""


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


def write_safetensors(checkpoint: dict, path: Path) -> None:
    """Write a checkpoint as safetensors, with its plain values as JSON in the metadata.

    Args:
        checkpoint: its content, `state_dict` and plain values.
        path: a `.safetensors` file.
    """
    from safetensors.torch import save  # by those who release a model alone

    plain = {name: value for name, value in checkpoint.items() if name != "state_dict"}
    weights = {name: tensor.contiguous() for name, tensor in checkpoint["state_dict"].items()}
    with written_whole(path) as part:
        part.write_bytes(save(weights, {PLAIN: json.dumps(plain)}))


def read_checkpoint(path: Path, map_location=None) -> dict:
    """Read a checkpoint of tensors and plain values.

    Args:
        path: a `.ckpt` file, or `.safetensors` of a released model.
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
        if path.suffix == ".safetensors":
            checkpoint = _of_safetensors(content)
        else:
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


def _of_safetensors(content: bytes) -> dict:
    from safetensors.torch import load  # by those who use a released model alone

    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    plain = json.loads(header["__metadata__"][PLAIN])
    return {**plain, "state_dict": load(content)}


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
