"""What an evaluation compared, as evaluation.json describes it."""

import importlib.metadata
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from galgen.evaluation.evaluation import Evaluation

VERSIONS = ("galgen", "torch", "numpy", "scipy", "scikit-learn", "galsim")


def describe(evaluation: "Evaluation") -> dict:
    """Describe the run, the galaxies and the statistics of an evaluation, and its versions."""
    run = evaluation.run
    name = str(run.facts["survey"])
    return {
        "run": run.name,
        "model": run.model.name,
        "survey": name,
        "simulated": "simulated" in (name, run.attributes.get("survey")),
        "recipe": run.survey.stamps.attrs.get("recipe", ""),
        "split": "test",
        "n": evaluation.n,
        "real": len(evaluation.positions),
        "priors": evaluation.priors,
        "seeds": list(range(evaluation.seeds)),
        "compared": evaluation.observation.what,
        "statistics": list(evaluation.observation.statistics),
        "headline": list(evaluation.observation.core),
        **({"bands": evaluation.bands} if evaluation.bands else {}),
        "unit": run.unit,
        "weights_sha256": run.weights_sha256,
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        "device": str(run.model.device),
        "threads": torch.get_num_threads(),
    }
