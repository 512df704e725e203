"""Transforms against closed forms."""

import numpy as np
import pytest
import torch

from galgen.data.augmentation import crop, dihedral
from galgen.data.batch import Batch
from galgen.data.transforms import Asinh, Peak, Physical

IMAGE = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
BACKGROUND = torch.tensor([0.0, 0.1, 0.5, 100.0])[:, None]


BATCH = Batch(
    image=IMAGE, index=torch.arange(4), background=BACKGROUND, noise=torch.full((4, 1), 0.2**0.5)
)


def test_peak_is_relu_of_the_light_above_the_background_over_its_maximum():
    out = Peak()(BATCH)
    for i in range(3):
        light = np.maximum(IMAGE[i].numpy() - BACKGROUND[i].item(), 0)
        np.testing.assert_allclose(out.image[i], light / light.max(), rtol=1e-6)
        assert out.noise_variance[i] == pytest.approx(0.2 / light.max() ** 2, rel=1e-6)
    assert (out.image[3] == 0).all()  # no light above the background


def test_peak_leaves_peak_normalised_images_alone():
    batch = Peak()(Batch(image=IMAGE, index=BATCH.index))
    assert torch.equal(Peak()(batch).image, batch.image)


def test_asinh_and_physical():
    batch = Asinh(0.2)(BATCH)
    torch.testing.assert_close(batch.image.sinh() * 0.2, IMAGE)
    assert batch.noise_variance is None
    batch = Physical(0.5)(BATCH)
    torch.testing.assert_close(batch.image * 0.5, IMAGE)
    torch.testing.assert_close(batch.noise_variance, torch.full((4, 1), 0.8))
    torch.testing.assert_close(Physical(0.5).inverse(batch.image), IMAGE)
    with pytest.raises(ValueError, match=r"transform\.scale"):
        Asinh(0.0)


@pytest.mark.parametrize(("transform", "scale"), [(Physical(), 0.1), (Asinh(), 0.3)])
def test_the_survey_gives_the_scale_that_was_not_given(transform, scale):
    transform.fit(np.array([0.1]))
    assert transform.scale == pytest.approx(scale)
    transform.fit(np.array([5.0]))  # a scale that is there stays
    assert transform.scale == pytest.approx(scale)


@pytest.mark.parametrize("unit", [1e-30, 1e-20, 1.0, 1e20])
@pytest.mark.parametrize("transform", [Peak, Physical, Asinh])
def test_a_transform_gives_the_same_in_any_unit(transform, unit):
    scaled = Batch(
        IMAGE * unit, BATCH.index, background=BACKGROUND * unit, noise=BATCH.noise * unit
    )
    outs = []
    for batch, noise in ((BATCH, 0.2), (scaled, 0.2 * unit)):
        made = transform()
        made.fit(np.array([noise]))
        outs.append(made(batch))
    torch.testing.assert_close(outs[1].image, outs[0].image)
    if transform is not Asinh:
        torch.testing.assert_close(outs[1].noise_variance, outs[0].noise_variance)


COLOURS = Batch(
    image=torch.rand(3, 2, 4, 4) * torch.tensor([1.0, 5.0])[:, None, None],
    index=torch.arange(3),
    noise=torch.tensor([0.1, 0.5]).expand(3, 2),
)


def test_bands_share_a_peak_unless_told_otherwise():
    together, apart = Peak()(COLOURS).image, Peak(per_band=True)(COLOURS).image
    torch.testing.assert_close(together.amax(dim=(1, 2, 3)), torch.ones(3))
    torch.testing.assert_close(apart.amax(dim=(2, 3)), torch.ones(3, 2))
    colour = COLOURS.image.sum(dim=(2, 3)).unbind(1)
    kept = together.sum(dim=(2, 3)).unbind(1)
    torch.testing.assert_close(kept[0] / kept[1], colour[0] / colour[1])


@pytest.mark.parametrize("transform", [Physical, Asinh])
def test_each_band_has_the_scale_of_its_own_noise(transform):
    made = transform()
    made.fit(np.array([0.1, 0.5]))
    assert made.scale[1] == pytest.approx(5 * made.scale[0])
    batch = made(COLOURS)
    torch.testing.assert_close(made.inverse(batch.image), COLOURS.image)
    alone = transform(made.scale[1])(Batch(COLOURS.image[:, 1:], COLOURS.index))
    torch.testing.assert_close(batch.image[:, 1:], alone.image)
    if transform is Physical:
        torch.testing.assert_close(batch.noise_variance, torch.ones(3, 2))


def test_a_crop_moves_the_galaxy_by_the_shift():
    image = torch.arange(2 * 3 * 10 * 10.0).reshape(2, 3, 10, 10)
    middle = crop(image, 4)
    assert torch.equal(middle, image[..., 3:7, 3:7])
    shift = torch.tensor([[0, 0], [2, -3]])
    moved = crop(image, 4, shift)
    assert torch.equal(moved[0], middle[0])
    assert torch.equal(moved[1], image[1, :, 1:5, 6:10])  # two down, three to the left


def test_the_eight_symmetries_differ_and_are_those_of_numpy():
    image = IMAGE[:1].expand(8, -1, -1, -1)
    out = dihedral(image, torch.arange(8)).numpy()
    assert len({array.tobytes() for array in out}) == 8
    square = IMAGE[0, 0].numpy()
    turned = [np.rot90(square, k) for k in range(4)]
    expected = {a.tobytes() for a in [*turned, *(np.rot90(square.T, k) for k in range(4))]}
    assert {array.tobytes() for array in out} == expected
