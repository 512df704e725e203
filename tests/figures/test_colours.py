"""Pictures in colour: which bands are red, green and blue, on one scale of flux."""

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from galgen.errors import GalgenError
from galgen.figures.channels import choose_channels, wavelength
from galgen.figures.contact_sheet import draw_contact_sheet
from galgen.figures.display import AB_FLUX, NU_F_NU, OWN_PEAK, Display
from galgen.figures.evaluation_neighbours import draw_neighbours
from galgen.figures.layout import add_caption, draw_rows, grid
from galgen.figures.reconstruction import draw_reconstruction
from galgen.figures.samples import draw_samples
from galgen.figures.strips import draw_strips
from galgen.runs.image_facts import PEAK, ImageFacts
from tests.conftest import discs

HST = ["F435W", "F606W", "F814W", "F125W", "F160W"]
POINTS = [25.67, 26.5, 25.94, 26.23, 25.95]


def galaxies(n: int, names=HST, points=POINTS, slope: float = -1.0) -> np.ndarray:
    """Make discs (n, B, 32, 32) of a flux density F_nu ~ nu^slope, in the bands' own units."""
    relative = np.array([wavelength(name) for name in names], float) ** -slope
    units = relative * 10 ** (0.4 * np.array(points))
    return discs(n)[:, None] * (units / units[0])[:, None, None]


def colours(image: np.ndarray, **how) -> np.ndarray:
    display = Display(**({"names": HST, "zero_points": POINTS} | how))
    return display.pixels(image, display.scale(image))


@pytest.mark.parametrize(
    ("name", "nm"),
    [
        *(("F435W", 435), ("F850LP", 850), ("F105W", 1050), ("F160W", 1600), ("F275W", 275)),
        *(("F115W", 1150), ("F277W", 2770), ("F444W", 4440), ("F1000W", 10000), ("F150W2", 1500)),
        *(("r", 620), ("HSC-G", 480), ("VIKING_Ks", 2150), ("lsst.y", 970), ("Y", 1020)),
        *(("mine", None), ("unknown", None), ("F1W", None)),
    ],
)
def test_a_name_tells_the_wavelength(name, nm):
    assert wavelength(name) == nm


@pytest.mark.parametrize(
    ("names", "red", "green", "blue"),
    [
        (["g", "r"], "r", "g+r", "g"),
        (["i", "g", "r"], "i", "r", "g"),
        (["J", "u", "i", "g"], "J", "g+i", "u"),
        (HST, "F125W+F160W", "F814W", "F435W+F606W"),
        (["y", "u", "g", "r", "i", "z"], "z+y", "r+i", "u+g"),
    ],
)
def test_the_longest_third_of_the_bands_is_red(names, red, green, blue):
    channels = choose_channels(names, None, 0)
    found = [{names[band] for band in bands} for bands in channels.bands]
    assert found == [set(each.split("+")) for each in (red, green, blue)]
    means = " (means)" if "+" in red + green else ""
    if "+" not in red + green:
        assert channels.text == f"red {red}, green {green}, blue {blue}{means}"
    assert channels.text.endswith(means)
    assert channels.coloured


def test_bands_of_unknown_wavelengths_are_in_the_file_s_order():
    channels = choose_channels(["n1", "n2", "n3"], None, 0)
    assert channels.bands == ((2,), (1,), (0,))
    assert "in the file's order" in channels.text


@pytest.mark.parametrize(
    ("names", "wanted", "sentence"),
    [
        (["F814W"], ["a", "b", "c"], r"bands=\[a,b,c\]: the run has one band, F814W. Give one"),
        (["F814W"], ["z"], r"no band z. Give some of \[F814W\]"),
        (["g", "r"], ["g", "y"], r"bands=\[g,y\]: the run has no band y. Give some of \[g,r\]"),
        (list("griz"), list("griz"), "or two or three of which the first is red"),
        (["g", "r"], ["g", "g"], r"^bands=\[g,g\]: g stands twice. Give each band once"),
        (["g", "r"], 5, "^bands=5: it is neither the name of a band nor a list"),
        (["g", "r"], [], "give one band"),
    ],
)
def test_bands_that_cannot_be_shown(names, wanted, sentence):
    with pytest.raises((GalgenError, ValueError), match=sentence):
        Display(names=names, bands=wanted)


def test_a_colour_map_needs_a_single_band():
    with pytest.raises(GalgenError, match=r"cmap=gray: .* bands=\[F814W\], or bands=all"):
        Display(names=HST, zero_points=POINTS, reference=2, cmap="gray")
    Display(names=HST, bands=["F814W"], cmap="gray")


@pytest.mark.parametrize("stretch", ["asinh", "linear", "log"])
def test_equal_energy_at_all_wavelengths_is_grey(stretch):
    [image] = galaxies(1)
    for bands in (None, ["F160W", "F814W", "F606W"], ["F160W", "F435W"]):
        shown = colours(image, stretch=stretch, bands=bands)
        np.testing.assert_allclose(shown, shown[..., :1].repeat(3, axis=2), atol=1e-6)
        assert shown.max() == pytest.approx(1, abs=1e-6)
    red, _, blue = colours(galaxies(1, slope=-2)[0], stretch=stretch)[16, 16]
    assert red > 1.5 * blue
    red, _, blue = colours(galaxies(1, slope=0)[0], stretch=stretch)[16, 16]
    assert blue > 1.5 * red


def test_channels_are_ratios_of_flux_as_lupton_et_al_define_them():
    image = galaxies(1, slope=-1.5)[0].astype(float)
    display = Display(names=HST, zero_points=POINTS, stretch="linear")
    shown, scale = display.pixels(image, display.scale(image)), display.scale(image)
    flux = image * 10 ** (-0.4 * np.array(POINTS))[:, None, None]
    flux /= np.array([wavelength(name) for name in HST])[:, None, None]
    red, green, blue = flux[3:].mean(axis=0), flux[2], flux[:2].mean(axis=0)
    lit = (image[0] > 0) & (shown.max(axis=2) < 1)
    np.testing.assert_allclose((shown[..., 0] / shown[..., 2])[lit], (red / blue)[lit], rtol=1e-5)
    np.testing.assert_allclose((shown[..., 1] / shown[..., 2])[lit], (green / blue)[lit], rtol=1e-5)
    light = (red + green + blue) / 3
    np.testing.assert_allclose(shown.mean(axis=2)[lit], (light / light.max())[lit], rtol=1e-5)
    assert scale.peak.shape == (1,)


def test_flux_is_what_is_known():
    assert Display(names=HST, zero_points=POINTS).flux == NU_F_NU
    assert Display(names=["a", "b", "c"], zero_points=[1, 2, 3]).flux == AB_FLUX
    assert Display(names=HST, zero_points=[None, *POINTS[1:]]).flux == OWN_PEAK
    chosen = {"bands": ["F160W", "F814W", "F606W"]}
    assert Display(names=HST, zero_points=[None, *POINTS[1:]], **chosen).flux == NU_F_NU
    image = discs(1)[:1].repeat(3, axis=0) * np.array([1, 7, 0.1])[:, None, None]
    shown = colours(image, names=list("abc"), zero_points=None)
    np.testing.assert_allclose(shown, shown[..., :1].repeat(3, axis=2), atol=1e-6)


def test_the_sky_is_dark_grey_and_faint_light_is_seen():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-32:32, -32:32]
    galaxy = np.exp(-np.hypot(x, y) / 4)
    for faintness in (1, 10):
        flux = np.array([3.0, 2.0, 1.5])[:, None, None] * galaxy
        image = flux + 0.01 * faintness * rng.normal(size=flux.shape)
        names = {"names": ["i", "r", "g"], "zero_points": [0, 0, 0]}
        shown = colours(image, **names)
        sky, faint = shown[:6].mean((0, 1)), shown[:, 20:44][np.hypot(x, y)[:, 20:44] < 12]
        assert 0.08 < sky.min() <= sky.max() < 0.18
        assert np.ptp(sky) < 0.03
        assert shown[32, 32].max() == 1
        assert faint.mean() > 2 * sky.mean()
        noiseless = colours(flux, **names)
        assert noiseless[0, 0] == pytest.approx(0.1, abs=0.04)


def test_a_noiseless_image_is_shown_as_the_noisy_one_beside_it():
    flux = galaxies(1)[0]
    noisy = flux + 0.05 * np.random.default_rng(1).normal(size=flux.shape)
    display = Display(names=HST, zero_points=POINTS)
    figure = draw_rows(np.stack([noisy, flux])[None], ["a", "b"], [""], display)
    scale = display.scale(np.stack([noisy, flux]))
    assert scale.softening == pytest.approx(display.scale(noisy).softening)
    shown = figure.axes[1].images[0].get_array()
    np.testing.assert_allclose(shown, display.pixels(flux, scale))


def test_strips_show_each_band_from_0_to_its_own_peak():
    image = discs(1)[:1].repeat(3, axis=0) * np.array([1, 50, 0.2])[:, None, None]
    display = Display(names=["g", "r", "i"], bands="all", pixel_scale=0.1)
    shown = display.pixels(image, display.scale(image))
    assert shown.shape == (3 * 32 + 2, 32)
    assert np.isnan(shown[[32, 65]]).all()
    np.testing.assert_allclose(shown[:32], shown[33:65], rtol=1e-6)
    figure = draw_samples(image[None, None], display=display)
    tags = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    assert tags["g"] > tags["r"] > tags["i"]  # the first band on top
    assert "each galaxy's peak in each band" in figure.texts[-1].get_text()
    width, height = figure.axes[0].get_window_extent().size
    assert height / width == pytest.approx(98 / 32, rel=0.01)


def test_every_figure_of_galaxies_is_in_colour():
    images, display = galaxies(6), Display(names=HST, zero_points=POINTS, pixel_scale=0.03)
    rows = images.reshape(2, 3, *images.shape[1:])
    drawn = {
        "sheet": draw_contact_sheet(images, display),
        "rows": draw_rows(rows, ["a", "b", "c"], ["", ""], display),
        "samples": draw_samples(rows, display=display),
        "reconstruction": draw_reconstruction(images, 0.5 * images, display=display),
        "neighbours": draw_neighbours(images[:2], rows, "prior", display),
    }
    for figure in drawn.values():
        assert figure.axes[0].images[0].get_array().shape == (32, 32, 3)
        text = " ".join(figure.texts[-1].get_text().split())
        assert text.startswith("red F125W+F160W, green F814W, blue F435W+F606W (means), in ")
        assert "asinh stretch (Lupton et al. 2004) from 0 to" in text
        assert '% of it is not seen; bar 0.2"' in text
    residual = drawn["reconstruction"].axes[12].images[0]
    light = images[0] * display.scale(images[0]).weight[:, None, None]
    mean = (light[3:].mean(axis=0) + light[2] + light[:2].mean(axis=0)) / 3
    np.testing.assert_allclose(residual.get_array(), 0.5 * mean / mean.max(), rtol=1e-5)
    strips = draw_strips(rows, display)
    assert strips.shape == (3, 32, 2 * 32 + 2, 4)
    np.testing.assert_array_equal(strips[..., 0], strips[..., 1])


def test_light_is_missing_in_all_bands():
    dark = np.zeros((5, 8, 8), np.float32)
    assert (colours(dark) == 0).all()
    assert (colours(dark, zero_points=None) == 0).all()


def test_a_long_caption_has_room_of_its_own():
    display = Display()
    figure, axes = grid(1, 8, display)
    before = axes[0, 0].get_window_extent().size
    add_caption(figure, "word " * 100)
    caption = figure.texts[-1].get_window_extent(FigureCanvasAgg(figure).get_renderer())
    assert caption.y1 < axes[0, 0].get_window_extent().y0
    assert caption.x1 < figure.bbox.x1
    np.testing.assert_allclose(axes[0, 0].get_window_extent().size, before, rtol=0.02)
    assert figure.texts[-1].get_fontsize() >= 6


def test_the_colour_map_can_be_printed_in_grey():
    light = matplotlib.colormaps[Display()._cmap.name](np.linspace(0, 1, 64))[:, :3]
    assert (np.diff(light @ [0.2126, 0.7152, 0.0722]) > 0).all()


@pytest.mark.parametrize(("per_band", "known"), [(False, True), (True, False)])
def test_a_peak_of_all_bands_keeps_the_colours(per_band, known):
    run = ImageFacts()
    run.facts = {"bands": HST, "transform": {"name": PEAK, "per_band": per_band}}
    run.facts["attributes"] = {"bands": HST, "zero_point": POINTS, "galgen_schema": 2}
    assert run.colour_zero_points == (POINTS if known else [None] * 5)
    assert run.zero_points == [None] * 5
