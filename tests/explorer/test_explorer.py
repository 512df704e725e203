"""The explorer: what the page holds, and that a browser computes what Python does."""

import base64
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits

import galgen
from galgen.config.releases import names
from galgen.models.telescope import convolve
from galgen.priors.random_numbers import standard_normal

NAME = "hst-f814w-simulated"


@pytest.fixture(scope="module", params=names())
def page(request, tmp_path_factory) -> tuple[Path, str]:
    """Write the page of each released model."""
    from galgen.explorer.page import explorer

    run = galgen.load(request.param)
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    path.write_text(explorer(run, "flow_matching"), encoding="utf-8")
    return path, request.param


def test_the_page_is_one_file_that_asks_for_nothing_else(page):
    path, name = page
    assert path.stat().st_size < 25e6
    text = path.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)', text)
    model = json.loads(re.search(r'id="model">(.*?)</script>', text)[1])
    assert model["name"] == name
    assert "simulated survey" in text
    assert [condition["name"] for condition in model["conditions"]] == [
        "redshift",
        "magnitude",
        "size",
    ]


def test_what_a_browser_cannot_draw_from_is_refused(command, free, tmp_path):
    run = shutil.copytree(free, tmp_path / "mixture")
    command("fit_prior", f"run={run}", "prior=gmm")
    code, printed = command("explore", f"run={run}", "prior=gmm")
    assert code == 1
    assert "prior=gmm: the page draws from flow_matching" in printed
    code, printed = command("explore", f"run={free}", "out=page.txt")
    assert (code, Path("page.txt").exists()) == (1, False)
    assert "give a name that ends in .html" in printed


ASK = """
const done = arguments[0];
window.explorer.ask({seed: 3, numbers: [0, 5], conditions: [0.7, 22.5, NaN], telescope: 'psf'})
  .then((found) => done({error: found.error, galaxies: (found.galaxies || []).map((galaxy) => ({
    light: Array.from(galaxy.light), seen: Array.from(galaxy.seen),
    latent: Array.from(galaxy.latent)}))}));
"""


def show(browser, path: Path) -> None:
    """Open a page, and wait for its first galaxies."""
    from selenium.webdriver.support.ui import WebDriverWait

    browser.set_window_size(1280, 900)
    browser.set_script_timeout(60)
    browser.get(path.as_uri())
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script("return window.drawn"))


@pytest.fixture
def opened(page, browser):
    """Open the page of a released model."""
    show(browser, page[0])
    return browser, galgen.load(page[1])


def test_a_browser_computes_what_python_does(opened):
    browser, run = opened
    found = browser.execute_async_script(ASK)
    assert not found["error"]
    values = {"redshift": 0.7, "magnitude": 22.5}
    for galaxy, start in zip(found["galaxies"], (0, 5), strict=True):
        latent = run.draw_latents(1, values, "flow_matching", 3, start).numpy()[0]
        np.testing.assert_allclose(galaxy["latent"], latent, atol=1e-4)
        light = run.sample(1, seed=3, start=start, prior="flow_matching", **values)
        scale = np.abs(light).max()
        np.testing.assert_allclose(galaxy["light"], light.ravel(), atol=1e-4 * scale)
        psfs = torch.from_numpy(run.exposures.psfs(np.array([0])))
        seen = convolve(torch.from_numpy(light), psfs).numpy()
        np.testing.assert_allclose(galaxy["seen"], seen.ravel(), atol=1e-4 * scale)
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def test_the_controls_change_the_galaxies(opened):
    from selenium.webdriver.support.ui import WebDriverWait

    browser, run = opened

    def total() -> float:
        bands = browser.execute_script("return window.explorer.measure(shownLight())")
        return bands[run.reference]["flux"]

    browser.execute_script(
        "window.shownLight = () => window.explorer.shown[2].light;"
        "document.querySelector('#galaxy2').click()"
    )
    fluxes = []
    for magnitude in (24, 21):
        drawn = browser.execute_script("return window.drawn")
        browser.execute_script(
            f"const s = document.getElementById('slider-magnitude'); s.value = {magnitude};"
            "s.oninput()"
        )
        WebDriverWait(browser, 30).until(
            lambda driver, drawn=drawn: driver.execute_script("return window.drawn") > drawn
        )
        fluxes.append(total())
    assert 3 < fluxes[1] / fluxes[0] < 50  # 3 mag are a factor of 16
    numbers = browser.find_element("id", "numbers").text
    assert "Galaxy 2 of seed 0" in numbers
    assert re.search(r"magnitude=2[01]\.", numbers)


def test_the_fits_file_of_a_galaxy(opened, tmp_path):
    browser, run = opened
    encoded = browser.execute_async_script(
        "const done = arguments[0]; document.querySelector('#galaxy1').click();"
        "const reader = new FileReader();"
        "reader.onload = () => done(reader.result.split(',')[1]);"
        "reader.readAsDataURL(window.explorer.fits(window.explorer.shown[1].seen));"
    )
    (tmp_path / "galaxy.fits").write_bytes(base64.b64decode(encoded))
    with fits.open(tmp_path / "galaxy.fits") as file:
        file.verify("exception")
        image, header = file[0].data, file[0].header
        np.testing.assert_allclose(
            image, run.sample(1, seed=0, start=1, prior="flow_matching")[0], atol=1e-4
        )
        assert header["MODEL"] == run.name
        assert header["PIXSCALE"] == run.pixel_scale


def test_the_random_numbers_are_those_of_python(opened):
    browser, _ = opened
    found = browser.execute_script(
        "return eval(document.getElementById('worker').textContent.split('// Light through')[0]"
        " + '; Array.from(latentNoise(11, 123456, 272))')"
    )
    np.testing.assert_allclose(found, standard_normal(11, 1, 272, 123456)[0], rtol=1e-6)


def test_a_model_that_is_given_the_redshift_has_a_slider_for_it(browser, trained, tmp_path):
    from galgen.explorer.page import explorer

    run, path = galgen.load(trained), tmp_path / "explorer.html"
    path.write_text(explorer(run, "normal"), encoding="utf-8")
    show(browser, path)
    box = browser.find_element("css selector", "[aria-label='ask for redshift']")
    assert (box.is_selected(), box.is_enabled()) == (True, False)
    found = browser.execute_async_script(ASK.replace("[0.7, 22.5, NaN]", "[0.7]"))
    assert not found["error"]
    for galaxy, start in zip(found["galaxies"], (0, 5), strict=True):
        light = run.sample(1, redshift=0.7, prior="normal", seed=3, start=start)
        assert np.ptp(light) > 0
        np.testing.assert_allclose(galaxy["light"], light.ravel(), atol=1e-4 * np.abs(light).max())


def test_a_click_shows_what_a_part_of_the_latent_map_changes(opened):
    from selenium.webdriver.support.ui import WebDriverWait

    browser, run = opened
    browser.execute_script("document.querySelector('#galaxy0').click()")
    influence = browser.find_element("id", "influence")
    assert not influence.is_displayed()
    drawn = browser.execute_script("return window.drawn")
    browser.find_element("id", "large").click()  # in its middle
    WebDriverWait(browser, 30).until(
        lambda driver: driver.execute_script("return window.drawn") > drawn
    )
    assert influence.is_displayed()
    light = np.array(
        browser.execute_script("return Array.from(window.explorer.shown[0].light)"), np.float32
    ).reshape(run.sample(1).shape)
    change = np.abs(light - run.sample(1, seed=0, prior="flow_matching")).sum(axis=(0, 1))
    middle = change[16:-16, 16:-16]
    assert middle.mean() > 2 * change.mean()
    found = browser.find_element("id", "largest").text
    assert float(found.split()[0]) > 0
    drawn = browser.execute_script("return window.drawn")
    browser.execute_script("document.querySelector('#galaxy1').click()")
    assert not influence.is_displayed()
    WebDriverWait(browser, 30).until(
        lambda driver: driver.execute_script("return window.drawn") > drawn
    )
    again = browser.execute_script("return Array.from(window.explorer.shown[0].light)")
    np.testing.assert_allclose(
        again, run.sample(1, seed=0, prior="flow_matching").ravel(), atol=1e-4 * light.max()
    )
