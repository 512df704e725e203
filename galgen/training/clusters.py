"""Which cluster, if any, has started the processes of a training."""

import os
from collections.abc import Callable

from pytorch_lightning.plugins.environments import (
    ClusterEnvironment,
    KubeflowEnvironment,
    LightningEnvironment,
    LSFEnvironment,
    MPIEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from galgen.errors import GalgenError


def cluster(devices: int | str | list | None = 1, num_nodes: int = 1) -> list[ClusterEnvironment]:
    """Return the cluster environment that matches who started the processes of a training.

    Lightning itself takes any job of SLURM for a training of several processes. A training on one
    device is one process, whatever started it and however many others like it. SLURM itself does
    not put the job back into the queue, which is left to who put it there.

    Args:
        devices: as the Trainer takes them.
        num_nodes: of machines.

    Raises:
        GalgenError: if a cluster has started another number of processes than the training has.
    """
    alone = str(devices) in ("1", "None") or (isinstance(devices, list) and len(devices) == 1)
    if alone and num_nodes == 1:
        environment = LightningEnvironment()
        environment.set_global_rank(0)  # of its own training, also as the third task of a job
        return [environment]
    for starter, counted_by, make in _starters():
        n = int(os.environ.get(counted_by, "1"))
        if n > 1:
            wanted = devices * num_nodes if type(devices) is int and devices > 0 else n
            if n != wanted:
                raise GalgenError(
                    f"trainer.devices={devices}: {starter} has started {n} processes, and the "
                    f"training has {wanted}, trainer.devices times trainer.num_nodes={num_nodes}. "
                    "Give as many devices as there are processes on each machine."
                )
            return [make()]
    return [LightningEnvironment()]


def _starters() -> list[tuple[str, str, Callable[[], ClusterEnvironment]]]:
    """List who can have started processes: a name, what counts them, and Lightning's class."""
    found = [("srun", "SLURM_STEP_NUM_TASKS", _slurm)]  # only srun sets it, sbatch does not
    if TorchElasticEnvironment.detect():
        found.insert(0, ("torchrun", "WORLD_SIZE", TorchElasticEnvironment))
    if LSFEnvironment.detect():
        found.append(("jsrun", "JSM_NAMESPACE_SIZE", LSFEnvironment))
    if os.environ.keys() >= {"KUBERNETES_PORT", "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"}:
        found.append(("Kubeflow", "WORLD_SIZE", KubeflowEnvironment))
    if "OMPI_COMM_WORLD_SIZE" in os.environ and MPIEnvironment.detect():
        found.append(("mpirun", "OMPI_COMM_WORLD_SIZE", MPIEnvironment))
    return found


def _slurm() -> SLURMEnvironment:
    """Describe srun's step to Lightning, which reads the request to sbatch."""
    step = {"SLURM_NTASKS": "SLURM_STEP_NUM_TASKS", "SLURM_NNODES": "SLURM_STEP_NUM_NODES"}
    for name, of_step in step.items():
        if of_step in os.environ:
            os.environ[name] = os.environ[of_step]
    nodes = int(os.environ.get("SLURM_NNODES", "1"))
    os.environ["SLURM_NTASKS_PER_NODE"] = str(int(os.environ["SLURM_NTASKS"]) // nodes)
    return SLURMEnvironment(auto_requeue=False)
