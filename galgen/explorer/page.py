"""The explorer of a run as one HTML file, with its networks inside."""

import base64
import gzip
import json
import re
from pathlib import Path

import jinja2
import matplotlib
import numpy as np

from galgen import __version__
from galgen.catalogues.browser_networks import browser_networks
from galgen.config import releases
from galgen.data.surveys.photometry import canonical
from galgen.errors import GalgenError
from galgen.figures.display import CMAP, Display
from galgen.runs.requested_conditions import condition_ranges
from galgen.runs.run_priors import NORMAL
from galgen.runs.trained_run import TrainedRun

HERE = Path(__file__).parent
RUNTIME = HERE / "onnxruntime"
"""ONNX Runtime Web, compressed."""
SCRIPTS = ("random.js", "telescope.js", "worker.js")
"""What a worker runs, after the runtime."""
LABELS = {"magnitude": "magnitude", "size": 'size ["]'}
"""Of sliders."""
COLOURS = 64
"""Of the colour map."""
SEEN = 16
"""Galaxies by which bands are weighted, where no zero points say how."""


def explorer(run: TrainedRun, prior: str) -> str:
    """Make the page.

    Args:
        run: the trained run, on the CPU.
        prior: what latents are drawn from.

    Raises:
        GalgenError: if a browser cannot generate its galaxies.
    """
    networks = browser_networks(run, prior)
    runtime = gzip.decompress((RUNTIME / "runtime.mjs.gz").read_bytes()).decode()
    stores = {
        "runtime": _packed(as_part_of_a_script(runtime).encode()),
        "wasm": _text((RUNTIME / "runtime.wasm.gz").read_bytes()),
        **{name: _packed(network.onnx) for name, network in networks.items()},
    }
    weights = [
        {"id": f"weights-{name}", "network": name, "path": path, "text": _packed(content)}
        for name, network in networks.items()
        for path, content in network.weights.items()
    ]
    model = describe(run, prior)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("explorer.html.j2").render(
        model=model,
        model_json=json.dumps(model).replace("<", "\\u003c"),
        simulated=run.attributes.get("survey") == "simulated",
        stores=stores,
        weights=weights,
        css=_read("explorer.css"),
        main=_read("main.js"),
        worker="\n".join(_read(name) for name in SCRIPTS),
        about=f"prior {prior}, weights {run.weights_sha256[:12]}",
        version=__version__,
    )


def describe(run: TrainedRun, prior: str) -> dict:
    """Return what the page knows of a model, as JSON can hold it."""
    module, ranges = run.priors[prior], condition_ranges(run, prior)
    found = {
        "name": run.name,
        "load": run.name if run.name in releases.names() else _near(run.directory),
        "priorName": prior,
        "conditional": run.model.conditional,
        "psfFree": run.model.psf_free,
        "bands": run.bands,
        "reference": run.reference,
        "side": run.model.image_size,
        "pixelScale": run.pixel_scale,
        "unit": run.unit,
        "fitsUnit": canonical(run.unit),
        "zeroPoints": run.zero_points,
        "latentSize": run.model.latent_dim,
        "latentShape": run.model.latent_shape and list(run.model.latent_shape),
        "conditions": [
            {"name": name, "label": LABELS.get(name, name), "low": low, "high": high}
            for name, (low, high) in ranges.items()
        ],
        "prior": None,
        **_telescope(run),
        **_colours(run, prior, ranges),
    }
    if prior != NORMAL:
        found["prior"] = {
            "steps": module.steps,
            "shift": module.latent_shift.tolist(),
            "scale": module.latent_scale.tolist(),
            "conditions": {
                "shift": module.condition_shift.tolist(),
                "scale": module.condition_scale.tolist(),
            },
        }
    return found


def _near(folder: Path) -> str:
    """Return the path of a folder, from here where it lies below."""
    folder, here = folder.resolve(), Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def _telescope(run: TrainedRun) -> dict:
    """Return the PSF and the noise of the survey, where the run has them."""
    found = {"psf": None, "psfWidth": 0, "noise": None, "correlation": [], "correlationWidth": 0}
    try:
        exposures = run.exposures
    except GalgenError:
        return found
    if exposures.has_psfs and run.model.psf_free:
        psf = _square(exposures.psfs(np.array([0]))[0])
        found |= {"psf": psf.reshape(-1).tolist(), "psfWidth": psf.shape[-1]}
    if exposures.has_noise and run.unit != "peak":
        variance = exposures.noise_variance(np.arange(len(exposures))).astype(float)
        correlation = _square(exposures.correlation)
        found |= {
            "noise": np.sqrt(np.median(variance, axis=0)).tolist(),
            "correlation": correlation.reshape(-1).tolist(),
            "correlationWidth": correlation.shape[-1],
        }
    return found


def _square(planes: np.ndarray) -> np.ndarray:
    """Return planes (B, h, w) of odd sides with zeros around them, (B, s, s)."""
    side = max(planes.shape[1:])
    rows, columns = ((side - length) // 2 for length in planes.shape[1:])
    return np.pad(planes, [(0, 0), (rows, rows), (columns, columns)])


def _colours(run: TrainedRun, prior: str, ranges: dict) -> dict:
    """Return which bands are which colour, and their weights, as in galgen's figures."""
    values = {"redshift": np.mean(ranges["redshift"])} if run.model.conditional else {}
    display = Display(names=run.bands, zero_points=run.colour_zero_points, reference=run.reference)
    weights = display.scale(run.make(SEEN, values, prior, 0, 0)).weight
    table = matplotlib.colormaps[CMAP](np.linspace(0, 1, COLOURS))[:, :3]
    return {
        "channels": [list(bands) for bands in display.channels.bands],
        "weights": weights.tolist(),
        "colours": (255 * table).round(1).tolist(),
    }


def as_part_of_a_script(module: str) -> str:
    """Turn the runtime's module into a script that defines `ort`.

    A page that is opened from a disk may start no worker of modules.
    """
    exports = re.search(r"export\{([^}]*)\};?\s*$", module)
    if not exports:
        raise GalgenError("the ONNX Runtime in galgen/explorer is damaged. Install galgen again.")
    pairs = (pair.strip().split(" as ") for pair in exports[1].split(","))
    table = ",".join(f"{names[-1]}:{names[0]}" for names in pairs)
    script = module[: exports.start()].replace("import.meta.url", "self.location.href")
    return f"{script}const ort={{{table}}};"


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _packed(content: bytes) -> str:
    return _text(gzip.compress(content, 9, mtime=0))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
