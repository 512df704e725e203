"""The precision of a training that leaves the choice to galgen: `trainer.precision=auto`."""

import time
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import nn

from galgen.config.trainer_rules import AUTO
from galgen.errors import GalgenError
from galgen.runs.run_config import load_yaml

FASTER = 1.2
"""How much faster bfloat16 has to be to be taken."""
TIMES = 5
"""Trials of each, of which the fastest counts."""


def choose_precision(config: DictConfig, directory: Path) -> None:
    """Replace `trainer.precision=auto` by the run's own precision, or by what is faster here.

    Only a processor is asked; on a GPU it is float32, since trainer=gpu names its precision.

    Args:
        config: the training's.
        directory: the run directory; it may not exist yet.

    Raises:
        GalgenError: if several processes were to choose, each by its own measurement.
    """
    if config.trainer.precision != AUTO:
        return
    stored = None if config.overwrite else stored_precision(directory)
    if stored is None:
        on_cpu = config.trainer.accelerator == "cpu" or not torch.accelerator.is_available()
        if on_cpu and (config.trainer.num_nodes > 1 or config.trainer.devices not in (1, "auto")):
            raise GalgenError(
                "trainer.precision=auto: several processes might choose differently. Give "
                "trainer.precision=bf16-mixed or 32-true."
            )
        faster = on_cpu and speed_up() > FASTER
        stored = "bf16-mixed" if faster else "32-true"
        print(f"trainer.precision=auto: {stored}, kept in the run")
    config.trainer.precision = stored


def stored_precision(directory: Path) -> str | None:
    """Return the precision that a run directory was begun with; None where there is none."""
    path = Path(directory) / "config.yaml"
    try:
        return load_yaml(path).trainer.precision if path.is_file() else None
    except (GalgenError, AttributeError):  # damaged, as the training itself will say
        return None


def speed_up() -> float:
    """Measure how many times faster a convolution is in bfloat16 on this processor."""
    layer = nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last)
    planes = torch.randn(16, 64, 32, 32).to(memory_format=torch.channels_last)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        trials = []
        for _ in range(TIMES):
            started = time.perf_counter()
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                layer(planes).sum().backward()
            trials.append(time.perf_counter() - started)
        seconds[dtype] = min(trials)
    return seconds[torch.float32] / seconds[torch.bfloat16]
