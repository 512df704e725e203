"""Networks as files of other programs: ONNX, safetensors, TorchScript."""

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from omegaconf import OmegaConf

from galgen import __version__
from galgen.config.targets import instantiate
from galgen.models.telescope import on_survey_pixels


def networks(model) -> dict:
    """Give a model's encoder and decoder as modules that take and return tensors.

    Args:
        model: of `galgen.models`.

    Returns:
        Modules by name. Their weights have the names that they have in the model. `inputs` and
        `outputs` name what they take and return: image (N, B, H, W), which a decoder of an
        oversampling s makes as (N, B, s H, s W); latent, mean and std (N, latent_dim); redshift
        and predicted_redshift (N,).
    """
    predicts = hasattr(model, "predict")
    decode = model.predict if predicts else model.decode

    class EncoderNetwork(torch.nn.Module):
        inputs = ("image", "redshift")[: 1 + model.conditional]
        outputs = ("mean", "std")

        def __init__(self):
            super().__init__()
            self.encoder = model.encoder

        def forward(self, image, redshift=None):
            posterior = model.encode(image, redshift)
            return posterior.mean, posterior.stddev

    class DecoderNetwork(torch.nn.Module):
        inputs = ("latent", "redshift")[: 1 + model.conditional]
        outputs = ("image", "predicted_redshift")[: 1 + predicts]

        def __init__(self):
            super().__init__()
            self.decoder = model.decoder
            if model.flux_scale is not None:
                self.amplitude = model.amplitude

        def forward(self, latent, redshift=None):
            return decode(latent, redshift)

    return {"encoder": EncoderNetwork().eval(), "decoder": DecoderNetwork().eval()}


def random_inputs(model, network, n: int) -> tuple:
    """Draw inputs of a network for n galaxies; images are decoded latents with speckles.

    Noise alone would be no image: far from those of the training, float32 rounds worse.
    """
    generator = torch.Generator().manual_seed(n)
    latent = torch.randn(n, model.latent_dim, generator=generator)
    redshift = 3 * torch.rand(n, generator=generator)
    image = on_survey_pixels(model.decode(latent, redshift), model.oversampling)
    speckle = torch.rand(image.shape, generator=generator)
    drawn = {"image": image * speckle, "latent": latent, "redshift": redshift}
    return tuple(drawn[name] for name in network.inputs)


def largest_difference(read_back: Callable, original: Callable, inputs: tuple) -> float:
    """Return the largest `|difference| / max(1, |value|)` of two networks; inf if not finite."""
    differences = []
    for found, value in zip(_tuple(read_back(*inputs)), _tuple(original(*inputs)), strict=True):
        difference = (found - value).abs() / value.abs().clamp_min(1)
        differences.append(float(difference.nan_to_num(nan=float("inf")).max()))
    return max(differences)


def metadata(run, name: str, network) -> dict[str, str]:
    """Describe where a network comes from and its inputs, in texts.

    `unit` is that of images that `transform` is undone on; the networks know its scale alone.
    """
    facts = {
        "network": name,
        "inputs": ",".join(network.inputs),
        "outputs": ",".join(network.outputs),
        "run": run.name,
        "config_sha256": run.config_sha256,
        "model": run.model.name,
        "model_config": json.dumps(OmegaConf.to_container(run.config.model)),
        "image_size": run.model.image_size,
        "oversampling": run.model.oversampling,
        "bands": json.dumps(run.bands),
        "latent_dim": run.model.latent_dim,
        "transform": json.dumps(run.facts["transform"]),
        "unit": run.unit,
        "pixel_scale": run.pixel_scale,
        "zero_points": json.dumps(run.zero_points),
        "galgen": __version__,
        "torch": torch.__version__,
    }
    return {key: str(fact) for key, fact in facts.items() if fact is not None}


def quiet_exporters() -> None:
    """Let what exports ONNX speak of errors alone."""
    for chatty in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(chatty).setLevel(logging.ERROR)


def write_onnx(network, example: tuple, facts: dict[str, str], path: Path) -> Callable:
    """Write ONNX with its weights inside, and read it with ONNX Runtime."""
    import onnxruntime

    quiet_exporters()
    free = {"dynamic_shapes": [{0: torch.export.Dim("batch")}] * len(example)}
    names = {"input_names": network.inputs, "output_names": network.outputs}
    # Only strict=True keeps the size free where a model takes the `len` of its batch.
    program = torch.export.export(network, example, **free, strict=True)
    onnx = torch.onnx.export(program, **free, **names, dynamo=True, verbose=False)
    onnx.model.metadata_props.update(facts)
    path.write_bytes(onnx.model_proto.SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def read_back(*inputs):
        feed = {name: x.numpy() for name, x in zip(network.inputs, inputs, strict=True)}
        return tuple(torch.from_numpy(x) for x in session.run(list(network.outputs), feed))

    return read_back


def write_safetensors(network, example: tuple, facts: dict[str, str], path: Path) -> Callable:
    """Write the weights, and read them into a new model made of the metadata alone."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save

    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    path.write_bytes(save(weights, facts))
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["model_config"])
    new = networks(instantiate(OmegaConf.create(config)).eval())[facts["network"]]
    new.load_state_dict(load_file(path))
    return new


def write_torchscript(network, example: tuple, facts: dict[str, str], path: Path) -> Callable:
    """Write TorchScript, its metadata in the extra file metadata.json, and read it."""
    traced = torch.jit.trace(network, example, check_trace=False)
    buffer = io.BytesIO()  # torch's own writer hides the reason of a failed write
    torch.jit.save(traced, buffer, _extra_files={"metadata.json": json.dumps(facts)})
    path.write_bytes(buffer.getbuffer())
    return torch.jit.load(path)


WRITERS = {
    "onnx": write_onnx,
    "safetensors": write_safetensors,
    "torchscript": write_torchscript,
}
"""By the name of the format."""


def _tuple(outputs) -> tuple:
    return outputs if isinstance(outputs, tuple) else (outputs,)
