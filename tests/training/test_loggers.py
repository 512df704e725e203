"""What the loggers write: metrics.csv, records of offline W&B runs, TensorBoard's events."""

import json
import re
import struct
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
import wandb
from wandb.proto import wandb_internal_pb2

from galgen.runs.metrics import read_metrics
from galgen.training import tracking
from galgen.training.loggers import MetricsCSV
from tests.conftest import only_run

BLOCK = 32768
FULL, FIRST, LAST = 1, 2, 4


def wandb_records(path: Path) -> list:
    """Read the records of an offline run: a LevelDB log behind a header of 7 bytes."""
    wandb.teardown()  # after a run's finish, W&B's service may be writing yet
    data, position, records, parts = path.read_bytes(), 7, [], []
    while position + 7 <= len(data):
        if BLOCK - position % BLOCK < 7:
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        if kind == FIRST:
            parts = []
        parts.append(data[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(parts))
            records.append(record)
            parts = []
    return records


def histories(records: list) -> list[dict[str, str]]:
    rows = [r.history.item for r in records if r.WhichOneof("record_type") == "history"]
    return [{"/".join(i.nested_key) or i.key: i.value_json for i in row} for row in rows]


def wandb_arguments(small) -> list[str]:
    names = ["logger.group=mine", "logger.tags=[a,b]", "run_name=first"]
    return [*small, "logger=wandb", "logger.mode=offline", *names]


def of_kind(records: list, kind: str) -> list:
    return [getattr(r, kind) for r in records if r.WhichOneof("record_type") == kind]


def config_of(records: list) -> dict:
    return {u.key: json.loads(u.value_json) for c in of_kind(records, "config") for u in c.update}


def summary_of(records: list) -> dict:
    """Give the last value of each key of the summary; parts of keys are joined by ` > `."""
    updates = [u for summary in of_kind(records, "summary") for u in summary.update]
    return {" > ".join(u.nested_key) or u.key: json.loads(u.value_json) for u in updates}


def captions(records: list, key: str) -> list[str]:
    found = [row.get(f"{key}/caption") for row in histories(records)]
    return [json.loads(caption) for caption in found if caption]


def test_an_offline_wandb_run_has_config_metrics_and_pictures(command, pictured):
    code, printed = command("train", *wandb_arguments(pictured))
    assert code == 0, printed
    (file,) = Path("runs/first").glob("wandb/offline-run-*/*.wandb")
    records = wandb_records(file)
    (run,) = of_kind(records, "run")
    assert (run.display_name, run.run_group, list(run.tags)) == ("first", "mine", ["a", "b"])
    assert (run.project, run.job_type) == ("galgen", "train")
    assert run.run_id == Path("runs/first/wandb_id.txt").read_text()
    rows = histories(records)
    expected = read_metrics(Path("runs/first"))
    for name in ("train/loss", "epoch"):
        logged = [float(row[name]) for row in rows if "train/loss" in row]
        assert logged == pytest.approx([row[name] for row in expected], rel=1e-6)
    assert list(Path("runs/first").glob("wandb/offline-run-*/files/media/images/*/*.png"))
    assert of_kind(records, "stats")  # of the machine


def test_the_config_is_flat_and_says_each_thing_once(command, small):
    assert command("train", *wandb_arguments(small))[0] == 0
    (file,) = Path("runs/first").glob("wandb/offline-run-*/*.wandb")
    config = config_of(wandb_records(file))
    assert config["model/latent_dim"] == 3
    assert config["beta_schedule/beta"] == 0.1
    assert config["model/name"] == "cvae2"
    assert config["data/file"] == "survey.h5"
    assert config["seed"] == 0
    for key in config:
        assert not key.startswith(("run_", "logger", "model/beta_schedule", "data/transform"))


def test_the_summary_has_the_best_epoch_also_after_a_resume(command, small, pulling_the_plug):
    arguments = wandb_arguments(small)
    with pulling_the_plug(6):
        assert command("train", *arguments)[0] == 1
    MetricsCSV(Path("runs/first")).log_metrics({"val/loss": 0.5, "epoch": 0})
    assert command("train", *arguments)[0] == 0
    first, _ = read_metrics(Path("runs/first"))
    *_, file = sorted(Path("runs/first").glob("wandb/offline-run-*/*.wandb"))
    records = wandb_records(file)
    metrics = {m.name or m.glob_name: m for m in of_kind(records, "metric")}
    assert metrics["val/loss"].summary.min
    assert metrics["val/reconstruction"].summary.min
    assert {m.step_metric for name, m in metrics.items() if name != "epoch"} == {"epoch"}
    summary = summary_of(records)
    assert summary["best/epoch"] == 1
    for name in ("val/loss", "val/reconstruction", "val/kl"):
        assert summary[f"best/{name}"] == first[name]


@pytest.mark.parametrize(("model", "words"), [("cvae2", "columns at redshift"), ("vae", "N(0, 1)")])
def test_captions_name_epoch_and_redshifts(command, pictured, model, words):
    assert command("train", *wandb_arguments(pictured), f"model={model}")[0] == 0
    (file,) = Path("runs/first").glob("wandb/offline-run-*/*.wandb")
    records = wandb_records(file)
    for name in ("reconstruction", "samples"):
        told = captions(records, f"pictures/{name}")
        assert [caption.split(":")[0] for caption in told] == ["epoch 1", "epoch 2"]
    assert words in captions(records, "pictures/samples")[0]
    assert re.search(r"redshifts \d\.\d\d, ", captions(records, "pictures/reconstruction")[0])


def test_a_resumed_run_goes_on_in_the_same_wandb_run(command, small, pulling_the_plug):
    arguments = wandb_arguments(small)
    with pulling_the_plug(6):
        assert command("train", *arguments)[0] == 1
    assert command("train", *arguments)[0] == 0
    files = list(Path("runs/first").glob("wandb/offline-run-*/*.wandb"))
    assert len({file.name for file in files}) == 1  # the id
    rows = [row for file in files for row in histories(wandb_records(file))]
    epochs = [int(row["epoch"]) for row in rows if "train/loss" in row]
    assert sorted(epochs) == [1, 2]


@pytest.fixture
def fresh_wandb():
    """Let W&B read the environment anew."""
    wandb.teardown()
    yield
    wandb.teardown()


def test_under_an_agent_the_run_is_the_agent_s(command, small, monkeypatch, fresh_wandb):
    Path("trial.yaml").write_text("wandb_version: 1\nseed:\n  value: 1\n")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "trial1")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(Path("trial.yaml").absolute()))
    code, printed = command("train", *wandb_arguments(small), "seed=1")
    assert code == 0
    assert "locked" not in printed
    assert "Ignoring" not in printed
    (file,) = Path("runs/first").glob("wandb/offline-run-*/*.wandb")
    (run,) = of_kind(wandb_records(file), "run")
    assert (run.run_id, run.sweep_id) == ("trial1", "sweep1")
    assert Path("runs/first/wandb_id.txt").read_text() == "trial1"


@pytest.mark.parametrize(("key", "reason"), [("a" * 40, "reached ("), (None, "No API key")])
def test_unreachable_it_trains_on_and_says_so_once(
    command, small, monkeypatch, tmp_path, fresh_wandb, key, reason
):
    monkeypatch.setattr(tracking, "INIT_TIMEOUT", 1)
    monkeypatch.setattr(tracking, "FINISH_TIMEOUT", 1)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    code, printed = command("train", *wandb_arguments(small), "logger.mode=online")
    assert code == 0, printed
    assert printed.count("W&B cannot be reached") == 1
    assert reason in printed
    folder = re.search(r"later with: wandb sync (\S+)", printed)[1]
    assert Path("runs/first/DONE").is_file()
    (file,) = Path(folder).glob("*.wandb")
    assert sum("train/loss" in row for row in histories(wandb_records(file))) == 2


class AnsweringServer(BaseHTTPRequestHandler):
    """What W&B's client asks a server when a run begins."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        owner = {"id": "e", "name": "me"}
        bucket = {"id": "b", "name": "first", "displayName": "first", "config": "{}"}
        bucket["project"] = {"id": "p", "name": "galgen", "entity": owner}
        viewer = {
            "id": "v",
            "entity": "me",
            "username": "me",
            "flags": "{}",
            "teams": {"edges": []},
        }
        data = {"viewer": viewer, "model": {"bucket": None}, "serverInfo": {"features": []}}
        data["upsertBucket"] = {"bucket": bucket, "inserted": True}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": data}).encode())

    def log_message(self, *arguments):
        pass


def test_a_connection_that_breaks_does_not_stop_the_training(
    command, small, monkeypatch, fresh_wandb
):
    server = ThreadingHTTPServer(("127.0.0.1", 0), AnsweringServer)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setattr(tracking, "FINISH_TIMEOUT", 1)
    begin = tracking.begin

    def begin_and_lose_it(arguments):
        run = begin(arguments)
        server.shutdown()
        server.server_close()
        return run

    monkeypatch.setattr(tracking, "begin", begin_and_lose_it)
    code, printed = command("train", *wandb_arguments(small), "logger.mode=online")
    assert code == 0, printed
    assert "cannot be reached" not in printed
    assert Path("runs/first/DONE").is_file()
    (file,) = Path("runs/first").glob("wandb/run-*/*.wandb")
    assert sum("train/loss" in row for row in histories(wandb_records(file))) == 2


def events_of(run: Path):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    return event_accumulator.EventAccumulator(str(run / "tensorboard")).Reload()


def texts(events, tag: str) -> list[str]:
    found = events.Tensors(f"{tag}/text_summary")
    return [event.tensor_proto.string_val[0].decode() for event in found]


def test_tensorboard_has_metrics_and_captioned_pictures(command, pictured):
    assert command("train", *pictured, "logger=tensorboard")[0] == 0
    events = events_of(only_run())
    expected = read_metrics(only_run())
    for name in ("train/loss", "epoch"):
        logged = {event.step: event.value for event in events.Scalars(name)}
        assert list(logged.values()) == pytest.approx([row[name] for row in expected], rel=1e-6)
    for name in ("pictures/reconstruction", "pictures/samples"):
        assert len(events.Images(name)) == 2
        first, second = texts(events, f"{name}/caption")
        assert first.startswith("epoch 1: ")
        assert second.startswith("epoch 2: ")
        assert "redshift" in first


def test_tensorboard_has_the_config_beside_the_best_epoch(command, small):
    from tensorboard.plugins.hparams import plugin_data_pb2

    assert command("train", *small, "logger=tensorboard")[0] == 0
    events = events_of(only_run())
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    told = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert told["model/latent_dim"].number_value == 3
    assert told["beta_schedule/beta"].number_value == 0.1
    best = min(row["val/loss"] for row in read_metrics(only_run()))
    assert events.Scalars("best/val/loss")[-1].value == pytest.approx(best)
    assert "hp_metric" not in events.Tags()["scalars"]


def test_metrics_of_repeated_epochs_are_replaced(tmp_path):
    logger = MetricsCSV(tmp_path)
    for epoch in (0, 1, 2):
        logger.log_metrics({"val/loss": 10.0 - epoch, "epoch": epoch}, step=epoch)
        logger.log_metrics({"train/loss": 1 / 3, "epoch": epoch}, step=epoch)
    again = MetricsCSV(tmp_path)
    again.log_metrics({"val/loss": 5.0, "epoch": 2}, step=2)
    again.log_metrics({"unrelated": torch.tensor(1.0).item()}, step=2)
    rows = read_metrics(tmp_path)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["val/loss"] for row in rows] == [10, 9, 5]
    assert rows[2]["train/loss"] == pytest.approx(1 / 3, rel=1e-6)
