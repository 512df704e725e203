"""Data modules: splits without leaks, batches, caches, facts."""

import h5py
import numpy as np
import pytest
import torch

from galgen.config.paths import CONF
from galgen.config.targets import instantiate
from galgen.data.split import split_by_parent
from galgen.data.stamp_writing import write_stamps
from galgen.data.transforms import Asinh
from galgen.errors import GalgenError
from tests.conftest import discs
from tests.data.conftest import CACHES, module

SURVEYS = sorted(path.stem for path in (CONF / "data").glob("[!_]*.yaml"))


@pytest.mark.parametrize("survey", SURVEYS)
@pytest.mark.parametrize("fractions", [[0.8, 0.1, 0.1], [0.9, 0.1, 0.0], [0.5, 0.25, 0.25]])
def test_no_parent_is_in_two_parts(augmented, composed, survey, fractions):
    split = f"data.split=[{','.join(map(str, fractions))}]"
    config = composed(
        f"data={survey}", f"data.file={augmented}", "data.image_size=32", "data.batch_size=8", split
    )
    datamodule = instantiate(config.data)
    datamodule.setup()
    parents = {
        part: set(datamodule.stamps.columns["galaxy_id"][stamps.rows])
        for part, stamps in datamodule.parts.items()
    }
    assert parents["train"] | parents["val"] | parents["test"] == set(np.arange(30) * 7)
    assert sum(map(len, parents.values())) == 30
    for part, fraction in zip(("train", "val", "test"), fractions, strict=True):
        assert abs(len(parents[part]) - 30 * fraction) <= 1
        assert len(datamodule.parts[part]) == 4 * len(parents[part])


def test_the_split_depends_on_its_seed_alone():
    parents = np.arange(100)
    one, two = (split_by_parent(parents, [0.8, 0.1, 0.1], 0) for _ in range(2))
    other = split_by_parent(parents, [0.8, 0.1, 0.1], 1)
    assert all(np.array_equal(one[part], two[part]) for part in one)
    assert not np.array_equal(one["val"], other["val"])


def test_the_background_is_subtracted(augmented):
    datamodule = module(augmented)
    datamodule.setup()
    batch = datamodule.first("val", 5)
    raw = torch.from_numpy(datamodule.stamps.read(batch.index.numpy(), 32))
    light = (raw - 0.1).relu()
    torch.testing.assert_close(batch.image, light / light.amax(dim=(2, 3), keepdim=True))
    assert datamodule.facts()["background"] == pytest.approx([0.1])


def test_facts(survey):
    datamodule = module(survey)
    datamodule.setup()
    facts = datamodule.facts()
    assert facts["split"]["counts"] == {"train": 64, "val": 8, "test": 8}
    assert facts["background"] is None
    with h5py.File(survey) as file:
        rows = datamodule.parts["val"].rows
        images, redshift = file["images"][:], file["zphot"][:]
    np.testing.assert_allclose(
        facts["squared_error_of_zero"]["val"], (images[rows] ** 2).sum() / 8, rtol=1e-6
    )
    train = datamodule.parts["train"].rows
    np.testing.assert_allclose(facts["redshift"]["mean"], redshift[train].mean(), rtol=1e-6)
    assert "test" not in facts["squared_error_of_zero"]


def test_a_file_without_ids_is_warned_about(survey, augmented, caplog):
    module(survey).setup()
    assert "no galaxy ids" in caplog.text
    caplog.clear()
    module(augmented).setup()
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 40}, "32 px cannot be cropped"),
        ({"batch_size": 65}, "larger than the training part, which has 64 of the 80"),
        ({"split": (0.95, 0.001, 0.049)}, "too few galaxies for a validation part"),
    ],
)
def test_what_does_not_fit_the_survey_is_refused(survey, arguments, message):
    with pytest.raises(GalgenError, match=message):
        module(survey, **arguments).setup()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cache": "disk"}, r"data\.cache"),
        ({"batch_size": 0}, r"data\.batch_size"),
        ({"split": (0.5, 0.5)}, r"data\.split"),
        ({"split": (0.5, 0.4, 0.2)}, r"data\.split"),
        ({"split": (1.0, 0.0, 0.0)}, r"data\.split"),
    ],
)
def test_bad_arguments_are_refused(survey, arguments, message):
    with pytest.raises(ValueError, match=message):
        module(survey, **arguments)


@pytest.mark.parametrize(
    ("redshift", "message"),
    [
        (np.linspace(0.01, 9, 80), None),
        (np.where(np.arange(80) == 7, -99, 1.0), r"1 of 80 redshifts .* row 7"),
        (np.where(np.arange(80) < 3, 0, 1.0), r"3 of 80 redshifts .* row 0"),
        (np.where(np.arange(80) == 5, np.nan, 1.0), r"1 of 80 redshifts .* row 5"),
        (None, "has no redshifts"),
    ],
)
def test_redshifts_are_required_of_every_galaxy(tmp_path, redshift, message):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["images"] = discs(80)
        if redshift is not None:
            file["zphot"] = redshift
    datamodule = module(tmp_path / "s.h5", needs=("redshift",))
    if message is None:
        datamodule.setup()
    else:
        with pytest.raises(GalgenError, match=message):
            datamodule.setup()
    module(tmp_path / "s.h5").setup()


def test_a_missing_file_says_what_it_must_hold(composed):
    for survey in ("cosmos", "deepfield"):
        datamodule = instantiate(composed(f"data={survey}", "data.file=x.h5").data)
        with pytest.raises(
            GalgenError, match=rf"data\.file=x\.h5: .* data={survey}\..* \(N, H, W\)"
        ):
            datamodule.setup()


def test_galaxies_whose_psf_is_unknown_are_left_out_where_it_is_needed(tmp_path):
    psf = np.full((40, 5, 5), 0.04, "f4")
    psf[::5] = np.nan
    block = {"image": discs(40), "psf": psf, "has_psf": np.isfinite(psf[:, 0, 0])}
    write_stamps(tmp_path / "s.h5", [block], {})
    datamodule = module(tmp_path / "s.h5", psf=True)
    datamodule.setup()
    rows = np.concatenate([part.rows for part in datamodule.parts.values()])
    assert sorted(rows) == [row for row in range(40) if row % 5]


@pytest.mark.parametrize("cache", ["ram", "none"])
@pytest.mark.parametrize(("total", "said"), [(3.0, "sums to 3"), (0.0, "sums to 0"), (1.05, None)])
def test_psfs_that_do_not_keep_the_light_are_refused(tmp_path, cache, total, said):
    psf = np.full((40, 5, 5), total / 25, "f4")
    write_stamps(tmp_path / "s.h5", [{"image": discs(40), "psf": psf}], {})
    datamodule = module(tmp_path / "s.h5", psf=True, cache=cache)

    def first_batch():
        datamodule.setup()
        return datamodule.first("train", 1)

    if said is None:
        assert first_batch().psf.sum() == pytest.approx(total, rel=1e-5)
        return
    with pytest.raises(GalgenError, match=rf"{said}\. Divide each PSF by its sum"):
        first_batch()


def test_psfs_that_are_not_there_are_a_sentence(augmented):
    with pytest.raises(GalgenError, match="has no PSFs"):
        module(augmented, psf=True).setup()


@pytest.mark.parametrize(("cache", "dtype"), CACHES)
def test_galaxies_without_redshift_are_left_out_where_it_is_needed(galaxies, caplog, cache, dtype):
    options = {"cache": cache, "cache_dtype": dtype, "psf": True}
    whole = module(galaxies, **options)
    datamodule = module(galaxies, needs=("redshift",), **options)
    for each in (whole, datamodule):
        each.setup()
    everything = {part: set(stamps.rows) for part, stamps in whole.parts.items()}
    assert "6 of 40 galaxies have no redshift" in caplog.text
    assert datamodule.facts()["without_redshift"] == 6
    with h5py.File(galaxies) as file:
        images, psfs = file["image"][:] * (file["weight"][:] > 0), file["psf"][:]
    for part, stamps in datamodule.parts.items():
        assert set(stamps.rows) == {row for row in everything[part] if row % 7 != 3}
        batch = datamodule.first(part, 100)
        rows = batch.index.numpy()
        assert (batch.redshift == 0.5).all()
        np.testing.assert_allclose(batch.image, images[rows, :, 4:36, 4:36], atol=1e-3)
        np.testing.assert_allclose(batch.psf, psfs[rows % 3], atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"cache_dtype": "float8"}, "float32, float16"), ({"max_shift": -1}, "not be negative")],
)
def test_bad_loading_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        module("s.h5", **arguments)


@pytest.mark.parametrize("unknown", [None, 0.0, -1.0, np.nan, np.inf])
def test_noise_that_is_not_known_is_refused(tmp_path, unknown):
    variance = np.full(40, 0.01, np.float32)
    datamodule = module(tmp_path / "s.h5", needs=("noise_variance",))
    row = split_by_parent(np.arange(40), [0.8, 0.1, 0.1], 0)["train"][3]
    variance[row] = unknown or 0.0
    columns = {} if unknown is None else {"noise_variance": variance}
    write_stamps(tmp_path / "s.h5", [{"image": discs(40), **columns}], {})
    expected = "has none after" if unknown is None else f"1 of 36 noise variances .* row {row} "
    with pytest.raises(GalgenError, match=expected):
        datamodule.setup()


def test_noise_that_a_transform_loses_is_refused(tmp_path):
    noise = np.full(40, 0.01, np.float32)
    write_stamps(tmp_path / "s.h5", [{"image": discs(40), "noise_variance": noise}], {})
    needs = ("noise_variance",)
    module(tmp_path / "s.h5", needs).setup()
    with pytest.raises(GalgenError, match="has none after the transform 'asinh'"):
        module(tmp_path / "s.h5", needs, transform=Asinh(1.0)).setup()
