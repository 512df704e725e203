"""The environment of a training."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

REPORTED = ("torch", "pytorch-lightning", "hydra-core", "omegaconf", "numpy", "h5py", "wandb")
"""Packages whose versions a run remembers, beside galgen's own."""


def environment(command: list[str]) -> dict:
    """Describe the machine, versions and command of a training."""
    return {
        "galgen": importlib.metadata.version("galgen"),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in REPORTED},
        "git": _git_state(),
        "command": command,
        "host": platform.node(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
    }


def _git_state() -> dict | None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None  # installed from a wheel
