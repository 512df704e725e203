"""The page of a report in a browser."""

import pytest

from tests.reports.conftest import Page


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
