"""From a public release or a mosaic to a trained model, by commands alone."""

import json

import numpy as np
import pytest

from galgen.data.stamps import StampFile
from tests.conftest import SHARED, only_run

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared")

XDF = SHARED / "data" / "xdf" / "xdf_hst_wfc3ir_60mas_f160w"
NARROW = ["model.width=4", "trainer.max_epochs=1", "data.batch_size=8", "callbacks.progress=null"]


def check_no_leak(data_file) -> dict:
    """Check the split that a run remembers against the stamp file's parents."""
    from galgen.data.parts import split_by_parent

    remembered = json.loads((only_run() / "data.json").read_text())
    parents = StampFile(data_file).columns["galaxy_id"]
    parts = split_by_parent(parents, remembered["split"]["fractions"], 0)
    sets = [set(parents[rows]) for rows in parts.values()]
    assert sum(map(len, sets)) == len(set.union(*sets)) == len(set(parents))
    return remembered


@pytest.mark.parametrize(
    ("survey", "prepare", "train"),
    [
        ("cosmos", ["recipe=physical"], ["model=fancy_cvae", "data.psf=true"]),
        ("cosmos", ["recipe=seed"], ["model=vae158", "data.cache_dtype=float16"]),
        ("deepfield", [], ["model=vae128", "data.cache=none"]),
    ],
)
def test_a_release_is_prepared_and_trained_on(command, release, survey, prepare, train):
    data = [f"data={survey}", "data.file=survey.h5"]
    code, printed = command(
        "prepare", *data, f"prepare.release={release}", "prepare.shards=2", *prepare
    )
    assert code == 0, printed
    code, printed = command("train", *data, *train, *NARROW)
    assert code == 0, printed
    remembered = check_no_leak("survey.h5")
    assert remembered["attributes"]["survey"] == survey
    assert remembered["stamps"] == len(StampFile("survey.h5"))


@pytest.mark.parametrize("neighbours", ["noise", "mask"])
def test_the_xdf_is_prepared_and_trained_on(command, neighbours):
    code, printed = command(
        "prepare",
        "data=mosaic",
        f"mosaic.image={XDF}_sci.fits",
        f"mosaic.rms={XDF}_rms.fits",
        f"mosaic.neighbours={neighbours}",
        "data.file=xdf.h5",
        "prepare.shards=2",
    )
    assert code == 0, printed
    stamps = StampFile("xdf.h5")
    assert 24 <= len(stamps) <= 32  # about 27 at 3 sigma
    assert np.isnan(stamps.columns["redshift"]).all()
    assert ("weight" in stamps.stacks) == (neighbours == "mask")
    command_line = ["data=mosaic", "data.file=xdf.h5", *NARROW]
    code, printed = command("train", *command_line, "model=vae")
    assert code == 0, printed
    check_no_leak("xdf.h5")
    code, printed = command("train", *command_line, "model=cvae2")
    assert code == 1
    assert "redshift" in printed
    assert "Traceback" not in printed


def test_a_survey_by_shards_in_a_sweep(command):
    code, printed = command(
        "prepare",
        "-m",
        "data=simulated",
        "data.galaxies=6",
        "data.image_size=32",
        "data.file=survey.h5",
        "prepare.shards=2",
        "prepare.shard=range(0,2)",
    )
    assert code == 0, printed
    assert "shard 0 is ready" in printed
    assert StampFile("survey.h5").columns["galaxy_id"].tolist() == list(range(6))
