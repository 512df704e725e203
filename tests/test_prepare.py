"""From a public release or a mosaic to a trained model, by commands alone."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import Cutout2D

from galgen.config.targets import instantiate
from galgen.data.stamp_file import StampFile
from galgen.data.stamp_writing import write_stamps
from galgen.prepare import training_command
from tests.conftest import SHARED, discs, only_run

needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared")

XDF = SHARED / "data" / "xdf" / "xdf_hst_wfc3ir_60mas_f160w"
NARROW = ["model.width=4", "trainer.max_epochs=1", "data.batch_size=8", "callbacks.progress=null"]


def check_no_leak(data_file) -> dict:
    """Check the split that a run remembers against the stamp file's parents."""
    from galgen.data.split import split_by_parent

    remembered = json.loads((only_run() / "data.json").read_text())
    parents = StampFile(data_file).columns["galaxy_id"]
    parts = split_by_parent(parents, remembered["split"]["fractions"], 0)
    sets = [set(parents[rows]) for rows in parts.values()]
    assert sum(map(len, sets)) == len(set.union(*sets)) == len(set(parents))
    return remembered


@needs_shared
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


@needs_shared
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


@needs_shared
def test_cutouts_in_four_bands_are_prepared_and_trained_on(command):
    folder, bands = SHARED / "data" / "hst_xdf_4band", ("f606w", "f775w", "f850lp", "f160w")
    places = np.random.default_rng(0).uniform(30, 470, (60, 2))
    for band in bands:
        image = fits.getdata(folder / f"{band}_sci.fits.gz").astype(np.float32)
        header = fits.Header({"BUNIT": "electron/s", "FILTER": band.upper(), "PIXSCALE": 0.06})
        for number, place in enumerate(places):
            if (band, number) != ("f160w", 7):
                path = Path(band) / f"xdf_{number:03d}.fits.gz"
                path.parent.mkdir(exist_ok=True)
                fits.writeto(path, Cutout2D(image, place, 40).data, header)
    Path("z.csv").write_text("id,z_phot\n" + "".join(f"{n},{0.1 + n / 20}\n" for n in range(60)))
    images = ", ".join(f'{band.upper()}: "{band}/xdf_{{id}}.fits.gz"' for band in bands)
    points = "{F606W: 26.505, F775W: 25.678, F850LP: 24.867, F160W: 25.946}"
    data = ["data=cutouts", "data.image_size=32"]
    code, printed = command(
        "prepare",
        *(*data, f"cutouts.images={{{images}}}", f"cutouts.zero_point={points}"),
        *("cutouts.table=z.csv", "prepare.shards=2", "prepare.processes=1"),
    )
    assert code == 0, printed
    assert "1 of 60 galaxies have no file in F160W" in printed
    assert "60 of 60 stamps are cropped" in printed
    words = shlex.split(printed.splitlines()[-1])
    assert words[:4] == ["python", "-m", "galgen.train", "data=cutouts"]
    stamps = StampFile(words[4].removeprefix("data.file="))
    assert stamps.has_band[7].tolist() == [True, True, True, False]
    assert stamps.zero_points == [26.505, 25.678, 24.867, 25.946]
    code, printed = command("train", *data, *NARROW, "model=residual_cvae")
    assert code == 0, printed
    remembered = json.loads((only_run() / "data.json").read_text())
    assert remembered["bands"] == [band.upper() for band in bands]
    losses = (only_run() / "metrics.csv").read_text()
    assert "nan" not in losses.lower()


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


@pytest.mark.parametrize(
    ("n", "redshift", "expected"),
    [
        (100, 1.0, []),
        (60, 1.0, ["data.batch_size=32"]),
        (100, np.nan, []),
        (12, np.nan, ["data.batch_size=8"]),
    ],
)
def test_the_training_that_is_proposed_works(command, composed, n, redshift, expected):
    file = Path("my surveys") / "a,b=c (1).h5"
    columns = {"redshift": np.full(n, redshift), "galaxy_id": np.arange(n)}
    write_stamps(file, [{"image": discs(n), **columns}], {"survey": "mine"})
    data = ["data=mosaic", "data.image_size=32", f"data.file='{file}'"]
    words = shlex.split(training_command(instantiate(composed(*data, name="prepare").data)))
    assert words[:4] == ["python", "-m", "galgen.train", "data=mosaic"]
    assert words[5:] == ["data.image_size=32", *expected]
    quick = ["trainer.max_epochs=1", "model.width=8", "prior=normal"]
    code, printed = command("train", *words[3:], *quick)
    assert code == 0, printed


def test_a_survey_that_is_too_small_to_train_on(composed):
    write_stamps(Path("one.h5"), [{"image": discs(1)}], {})
    node = composed("data=mosaic", "data.image_size=32", "data.file=one.h5", name="prepare").data
    assert "too few for a training" in training_command(instantiate(node))


def test_the_command_of_a_simulated_survey_is_printed_and_works(command):
    data = ["data=simulated", "data.galaxies=20", "data.image_size=32", "data.file=s.h5"]
    code, printed = command("prepare", *data, "prepare.shards=1")
    assert code == 0, printed
    line = next(line for line in printed.splitlines() if "galgen.train" in line)
    code, printed = command("train", *shlex.split(line)[3:], "trainer.max_epochs=1")
    assert code == 0, printed
