"""The page of a report in a browser."""

from pathlib import Path

import pytest

from tests.reports.conftest import Page

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (CHROMIUM.exists() and DRIVER.exists()):
        pytest.skip("there is no Chromium")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, source, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(source, encoding="utf-8")
    browser.get(path.as_uri())
    return browser


def test_the_slider_in_a_browser(opened, source):
    from selenium.webdriver.common.keys import Keys

    frames = Page(source).frames
    slider, shown, image = (
        opened.find_element("css selector", selector)
        for selector in ("input[type=range]", "output", "img.decoded")
    )
    for key, frame in (
        (Keys.ARROW_RIGHT, 8),
        (Keys.END, 14),
        (Keys.ARROW_LEFT, 13),
        (Keys.HOME, 0),
    ):
        slider.send_keys(key)
        assert shown.text == slider.get_attribute("aria-valuetext") == frames[frame]["label"]
        assert image.get_attribute("src") == frames[frame]["uri"]
    broken = "return [...document.images].filter(image => !image.naturalWidth).length"
    assert opened.execute_script(broken) == 0
    assert opened.get_log("browser") == []


@pytest.mark.parametrize("size", [(390, 844), (1200, 900)])
def test_the_page_fits_the_window(opened, size):
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 500}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    opened.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    wide, window = opened.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert window == size[0]
    assert wide <= window
