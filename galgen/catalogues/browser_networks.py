"""The networks of a run as ONNX for a browser: decoder, and the velocity of its prior."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from galgen.catalogues.exported_networks import quiet_exporters
from galgen.errors import GalgenError
from galgen.models.telescope import on_survey_pixels
from galgen.priors.fitted import FOLDER as PRIORS
from galgen.priors.flow_matching import FlowMatching
from galgen.runs.run_priors import NORMAL
from galgen.runs.trained_run import TrainedRun

FOLDER = "explorer"
"""Of a released model's networks for a browser."""
TRACED = 2
"""Galaxies in the batch that a network is traced with."""
LARGE = 1024
"""Bytes of a weight that is looked for in the files of weights."""
WEIGHTS = {"decoder": "checkpoints/best.safetensors", "velocity": PRIORS + "/{prior}.safetensors"}
"""Files of a released model that the weights of a network lie in."""


@dataclass
class BrowserNetwork:
    """A network as a browser runs it."""

    onnx: bytes
    weights: dict[str, bytes] = field(default_factory=dict)
    """Files that its weights lie in, by the name that the network has for them."""


class Decoder(nn.Module):
    """From latents, and redshifts where the model needs them, to light on the survey's pixels."""

    def __init__(self, run: TrainedRun):
        super().__init__()
        self.model, self.transform = run.model, run.transform
        self.decoder = run.model.decoder

    def forward(self, latent, redshift=None):
        """Return light (N, B, H, W), in the run's unit, of latents (N, latent_dim)."""
        light = self.transform.inverse(self.model.decode(latent, redshift))
        return on_survey_pixels(light, self.model.oversampling)


def check(run: TrainedRun, prior: str) -> None:
    """Check that a browser can generate a run's galaxies.

    Raises:
        GalgenError: if the prior is none that the page solves, or nobody knows what redshifts the
            model has seen.
    """
    if run.model.conditional and not np.isfinite(run.trained_redshifts).all():
        raise GalgenError(
            f"run={run.directory}: its weights were imported, and nobody knows what redshifts they "
            "have seen, so the page has no slider for them. Explore a run that was trained here."
        )
    if prior != NORMAL and not isinstance(run.priors[prior], FlowMatching):
        raise GalgenError(
            f"prior={prior}: the page draws from flow_matching, flow_matching_small or normal. Fit "
            f"one: python -m galgen.fit_prior run={run.directory} prior=flow_matching"
        )


def browser_networks(run: TrainedRun, prior: str) -> dict[str, BrowserNetwork]:
    """Return the networks that draw a run's galaxies, by name: `decoder` and `velocity`.

    A released model has their graphs; those of another run are exported.

    Args:
        run: the trained run, on the CPU.
        prior: what latents are drawn from.

    Raises:
        GalgenError: as `check`.
        ModuleNotFoundError: if they have to be exported, and a package for that is missing.
    """
    check(run, prior)
    wanted = ["decoder"] if prior == NORMAL else ["decoder", "velocity"]
    found = {}
    for name in wanted:
        graph = run.directory / FOLDER / f"{graph_name(name, prior)}.onnx"
        if graph.is_file():
            path = run.directory / WEIGHTS[name].format(prior=prior)
            found[name] = BrowserNetwork(graph.read_bytes(), {path.name: path.read_bytes()})
        else:
            found[name] = BrowserNetwork(exported(run, name, prior))
    return found


def graph_name(network: str, prior: str) -> str:
    """Name the file of a network's graph, without ending."""
    return network if network == "decoder" else f"{network}_{prior}"


def write_graphs(run: TrainedRun, prior: str, folder: Path) -> None:
    """Write the graphs of a released model's networks, whose weights stay where they are.

    Args:
        run: the trained run, on the CPU.
        prior: what latents are drawn from.
        folder: of the released model, with its weights.
    """
    (folder / FOLDER).mkdir(exist_ok=True)
    for name in ["decoder"] if prior == NORMAL else ["decoder", "velocity"]:
        weights = folder / WEIGHTS[name].format(prior=prior)
        graph = without_weights(exported(run, name, prior), weights)
        (folder / FOLDER / f"{graph_name(name, prior)}.onnx").write_bytes(graph)


def exported(run: TrainedRun, name: str, prior: str) -> bytes:
    """Return a network as ONNX with its weights inside."""
    if name == "decoder":
        network, inputs, output = Decoder(run), {"latent": (run.model.latent_dim,)}, "light"
        if run.model.conditional:
            inputs["redshift"] = ()
    else:
        module = run.priors[prior]
        network, output = module.velocity, "velocity"
        inputs = {"latent": (run.model.latent_dim,), "angle": (), "context": (module.context,)}
    generator = torch.Generator().manual_seed(0)
    example = tuple(torch.rand(TRACED, *shape, generator=generator) for shape in inputs.values())
    free = {"dynamic_shapes": [{0: torch.export.Dim("batch")}] * len(example)}
    names = {"input_names": list(inputs), "output_names": [output]}
    quiet_exporters()
    with warnings.catch_warnings(action="ignore"), torch.no_grad():
        program = torch.export.export(network.eval(), example, **free, strict=True)
        onnx = torch.onnx.export(program, **free, **names, dynamo=True, verbose=False)
    return onnx.model_proto.SerializeToString()


def without_weights(graph: bytes, weights: Path) -> bytes:
    """Let a graph read its weights from a file that holds the same bytes.

    Args:
        graph: ONNX with its weights inside.
        weights: a safetensors file; weights that it does not hold as they are stay in the graph.
    """
    import onnx  # of an extra

    model, content = onnx.load_from_string(graph), weights.read_bytes()
    turned = []
    for tensor in model.graph.initializer:
        raw = tensor.raw_data
        if len(raw) < LARGE:
            continue
        place = content.find(raw)
        if place < 0 and len(tensor.dims) == 2:  # the exporter turns the matrices of linear layers
            values = onnx.numpy_helper.to_array(tensor)
            place = content.find(np.ascontiguousarray(values.T).tobytes())
            if place >= 0:
                stored = f"{tensor.name}_stored"
                turned.append(onnx.helper.make_node("Transpose", [stored], [tensor.name]))
                tensor.name, shape = stored, tensor.dims[::-1]
                del tensor.dims[:]
                tensor.dims.extend(shape)
        if place >= 0:
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            facts = {"location": weights.name, "offset": place, "length": len(raw)}
            for key, value in facts.items():
                tensor.external_data.add(key=key, value=str(value))
    nodes = [*turned, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()
