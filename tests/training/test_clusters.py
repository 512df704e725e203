"""Clusters, by the variables that they set: who started the processes of a training."""

import socket
from pathlib import Path

import pytest
from pytorch_lightning.plugins.environments import (
    KubeflowEnvironment,
    LightningEnvironment,
    LSFEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from galgen.errors import GalgenError
from galgen.runs.metrics import read_metrics
from galgen.training.clusters import cluster
from tests import processes
from tests.conftest import only_run

SBATCH = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NAME": "galaxies",
    "SLURM_NTASKS": "4",
    "SLURM_NNODES": "1",
    "SLURM_TASKS_PER_NODE": "4",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}
"""Of `sbatch --ntasks=4`, in whose script no srun starts the command."""
WITHOUT_RANK = {name: SBATCH[name] for name in ("SLURM_NTASKS", "SLURM_JOB_NAME")}
SRUN = {**SBATCH, "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "1", "SLURM_PROCID": "2"}
TWO_NODES = {**SRUN, "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2"}
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "1",
    "WORLD_SIZE": "4",
    "RANK": "2",
    "LOCAL_RANK": "2",
    "GROUP_RANK": "0",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}
KUBEFLOW = {
    "KUBERNETES_PORT": "tcp://10.0.0.1:443",
    "MASTER_ADDR": "pod-0",
    "MASTER_PORT": "23456",
    "WORLD_SIZE": "4",
    "RANK": "2",
}
LSF = {
    "LSB_JOBID": "1",
    "LSB_DJOB_RANKFILE": "ranks",
    "JSM_NAMESPACE_SIZE": "4",
    "JSM_NAMESPACE_RANK": "2",
    "JSM_NAMESPACE_LOCAL_RANK": "2",
}
MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2", "PMI_SIZE": "4", "PMI_RANK": "2"}
TPU = {
    "TPU_NAME": "local",
    "XRT_TPU_CONFIG": "localservice;0;localhost:51011",
    "PJRT_DEVICE": "TPU",
}
INTERACTIVE = {**SRUN, "SLURM_JOB_NAME": "bash", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}
MISMATCH = {**SBATCH, "SLURM_NTASKS_PER_NODE": "8", "SLURM_NNODES": "2"}
EVERY = {
    "sbatch": SBATCH,
    "sbatch without a rank": WITHOUT_RANK,
    "srun": SRUN,
    "torchrun": TORCHRUN,
    "kubeflow": KUBEFLOW,
    "lsf": LSF,
    "mpi": MPI,
    "tpu": TPU,
    "interactive": INTERACTIVE,
    "mismatch": MISMATCH,
}


@pytest.fixture
def within(monkeypatch, tmp_path):
    """Return a function that sets the variables of a cluster."""
    Path("ranks").write_text("\n".join(["launch", *[socket.gethostname()] * 4]))

    def setting(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    for name in (*SRUN, *TORCHRUN, *LSF, *KUBEFLOW, "SLURM_NTASKS_PER_NODE"):
        monkeypatch.setenv(name, "")  # so that what a cluster sets is taken back
        monkeypatch.delenv(name)
    return setting


@pytest.mark.parametrize("name", EVERY)
def test_a_training_on_one_device_is_alone_everywhere(within, name):
    within(EVERY[name])
    for devices in (1, "1", [0]):
        (environment,) = cluster(devices)
        assert type(environment) is LightningEnvironment
        assert (environment.global_rank(), environment.world_size()) == (0, 1)


@pytest.mark.parametrize(
    ("variables", "devices", "nodes", "kind", "rank", "world"),
    [
        (SBATCH, 4, 1, LightningEnvironment, 0, 1),  # Lightning starts and counts them
        (MISMATCH, 2, 1, LightningEnvironment, 0, 1),
        (INTERACTIVE, 2, 1, LightningEnvironment, 0, 1),
        (SRUN, 4, 1, SLURMEnvironment, 2, 4),
        (SRUN, "auto", 1, SLURMEnvironment, 2, 4),
        ({**SRUN, "SLURM_NTASKS_PER_NODE": "8"}, 4, 1, SLURMEnvironment, 2, 4),
        (TWO_NODES, 4, 2, SLURMEnvironment, 2, 8),
        (TORCHRUN, 4, 1, TorchElasticEnvironment, 2, 4),
        ({**TORCHRUN, **SBATCH}, 4, 1, TorchElasticEnvironment, 2, 4),
        (KUBEFLOW, 1, 4, KubeflowEnvironment, 2, 4),
        (LSF, 4, 1, LSFEnvironment, 2, 4),
        (TPU, 2, 1, LightningEnvironment, 0, 1),
        (MPI, 4, 1, LightningEnvironment, 0, 1),  # without mpi4py
        ({}, 2, 1, LightningEnvironment, 0, 1),
    ],
)
def test_several_processes_are_of_whom_has_started_them(
    within, variables, devices, nodes, kind, rank, world
):
    within(variables)
    (environment,) = cluster(devices, nodes)
    assert type(environment) is kind
    assert (environment.global_rank(), environment.world_size()) == (rank, world)
    if type(devices) is int:
        environment.validate_settings(devices, nodes)


@pytest.mark.parametrize(
    ("variables", "starter"), [(SRUN, "srun"), (TORCHRUN, "torchrun"), (LSF, "jsrun")]
)
def test_another_number_of_processes_is_refused(within, variables, starter):
    within(variables)
    with pytest.raises(GalgenError, match=rf"devices=2: {starter} has started 4 processes, .* 2,"):
        cluster(2)


@pytest.mark.parametrize("name", ["sbatch", "sbatch without a rank", "srun", "mismatch", "lsf"])
def test_commands_run_in_the_job_of_a_cluster(within, small, name):
    """Each command is one process, also as one task of several."""
    within(EVERY[name])
    code, printed = processes.run("train", [*small, "trainer.max_epochs=1"])
    assert code == 0, printed
    assert "best val/loss" in printed
    assert len(read_metrics(only_run())) == 1
    words = [f"run={only_run()}", "prior=flow", "prior.flow.max_epochs=2"]
    code, printed = processes.run("fit_prior", words)
    assert code == 0, printed
    assert "held-out latents cost" in printed


def test_tasks_of_srun_train_one_run_together(small, within):
    within({**SRUN, "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2", "MASTER_PORT": "29712"})
    words = [*small, "trainer=ddp_cpu", "model.norm=group", "trainer.max_epochs=2"]
    tasks = []
    for rank in ("0", "1"):
        variables = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_NODELIST": "127.0.0.1"}
        tasks.append(processes.begin("train", words, printed=rank, **variables))
    for task in tasks:
        task.join()
    assert [task.exitcode for task in tasks] == [0, 0], Path("0").read_text()
    assert len(read_metrics(only_run())) == 2
