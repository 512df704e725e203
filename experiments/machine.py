"""What a measurement was made on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

import galgen


def machine() -> dict:
    """Describe the machine and the versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "CPU")
    name = f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        name = f"{torch.cuda.get_device_name()}; {name}"
    return {
        "machine": f"{name}, {platform.system()}",
        "versions": {
            "galgen": galgen.__version__,
            "torch": torch.__version__,
            "pytorch-lightning": version("pytorch-lightning"),
        },
    }
