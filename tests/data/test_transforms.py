"""Transforms against closed forms."""

import numpy as np
import pytest
import torch

from galgen.data.transforms import Asinh, Peak, Physical, dihedral

IMAGE = torch.randn(4, 6, 6, generator=torch.Generator().manual_seed(0))
BACKGROUND = torch.tensor([0.0, 0.1, 0.5, 100.0])


def test_peak_is_relu_of_the_light_above_the_background_over_its_maximum():
    out = Peak()(IMAGE, BACKGROUND).numpy()
    for i in range(3):
        light = np.maximum(IMAGE[i].numpy() - BACKGROUND[i].item(), 0)
        np.testing.assert_allclose(out[i], light / light.max(), rtol=1e-6)
    assert (out[3] == 0).all()  # no light above the background


def test_peak_leaves_peak_normalised_images_alone():
    image = Peak()(IMAGE, None)
    assert torch.equal(Peak()(image, None), image)


def test_asinh_and_physical():
    torch.testing.assert_close(Asinh(0.2)(IMAGE, None).sinh() * 0.2, IMAGE)
    assert Physical()(IMAGE, BACKGROUND) is IMAGE
    with pytest.raises(ValueError, match=r"transform\.scale"):
        Asinh(0.0)


def test_the_eight_symmetries_differ_and_are_those_of_numpy():
    image = IMAGE[:1].expand(8, -1, -1)
    out = dihedral(image, torch.arange(8)).numpy()
    assert len({array.tobytes() for array in out}) == 8
    square = IMAGE[0].numpy()
    turned = [np.rot90(square, k) for k in range(4)]
    expected = {a.tobytes() for a in [*turned, *(np.rot90(square.T, k) for k in range(4))]}
    assert {array.tobytes() for array in out} == expected
