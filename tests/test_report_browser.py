"""The page in a real browser: silent console, no requests, sorting, pictures, zoom, at desk and phone width."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_ledger import CLAIMS, write_ledger
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from harness.report import build

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
ROWS = 4 * 5 * 6  # strips, differences, two truths over each strip
IMAGES = 5 + 3 + 1 + ROWS + 5 + 6 + 1  # first picture, sheets, turning head, rows, spectra, skin patches, the zoom
LABELS = {4: "<script>document.title='owned'</script>", 5: "[red]", 6: "=cmd()"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert binary and driver, "no chromium here. Install it: apt-get install -y chromium chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(options=options, service=Service(driver))
    yield running
    running.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_ledger(tmp_path_factory.mktemp("results") / "bottleneck", labels=LABELS, claims=CLAIMS)
    return build([folder], formats={"html"})[0]


def _open(browser: webdriver.Chrome, page: Path, width: int, theme: str, unfold: bool = True) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(page.as_uri())
    if unfold:
        browser.execute_script("document.querySelectorAll('details').forEach((d) => { d.open = true; })")


def _column(browser: webdriver.Chrome, place: int) -> list[float]:
    rows = browser.find_elements(By.CSS_SELECTOR, "#decision-table tbody:first-of-type tr")
    cells = [row.find_elements(By.CSS_SELECTOR, "th, td")[place] for row in rows]
    return [float(cell.get_attribute("data-sort") or "nan") for cell in cells]


_CONTRAST = """
const parse = (c) => c.match(/[\\d.]+/g).slice(0, 3).map(Number);
const light = (c) => parse(c).map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const under = (e) => { while (e) { const c = getComputedStyle(e).backgroundColor;
  if (!/, 0\\)$/.test(c)) return c; e = e.parentElement; } return 'rgb(255, 255, 255)'; };
const low = [];
const texts = 'p, dt, dd, small, th, td, figcaption, summary, h1, h2, h3, .plot svg text';
for (const e of document.querySelectorAll(texts)) {
  const style = getComputedStyle(e);
  const [a, b] = [light(e.tagName === 'text' ? style.fill : style.color), light(under(e))].sort((x, y) => y - x);
  if ((a + .05) / (b + .05) < 4.5) low.push(e.tagName + ' ' + e.textContent.slice(0, 40));
}
return [document.querySelectorAll(texts).length > 200, low];
"""


_UNNAMED = """
const empty = [...document.querySelectorAll('.zoom img')].filter((i) => !i.alt).map((i) => i.outerHTML.slice(0, 60));
const silent = [...document.querySelectorAll('button')].filter((b) => !(b.ariaLabel || b.textContent.trim()));
const plots = [...document.querySelectorAll('svg')].filter((s) => !s.querySelector('title')?.textContent);
return [...empty, ...silent.map((b) => b.className), ...plots.map((s) => s.id)];
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_silent_complete_and_readable(browser: webdriver.Chrome, page: Path, width: int, theme: str) -> None:
    for log in ("browser", "performance"):
        browser.get_log(log)  # what came before this page
    _open(browser, page, width, theme)
    broken = browser.execute_script("return [...document.images].filter((i) => i.src && !i.naturalWidth).length")
    assert broken == 0
    assert browser.execute_script("return document.images.length") == IMAGES
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    widths = "return [...document.querySelectorAll('.tiles .zoom img')].map((i) => i.getBoundingClientRect().width)"
    assert all(0.75 * width <= found <= width or found > 600 for found in browser.execute_script(widths))
    beside = "return [...document.querySelectorAll('.beside img')].map((i) => i.getBoundingClientRect().width)"
    assert all(0.3 * width * 0.9 <= found or found > 180 for found in browser.execute_script(beside))
    assert browser.execute_script(_UNNAMED) == []
    assert browser.execute_script(_CONTRAST) == [True, []]
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]


def test_headings_sort_the_decision_table_both_ways(browser: webdriver.Chrome, page: Path) -> None:
    _open(browser, page, 1280, "light")
    button = browser.find_elements(By.CSS_SELECTOR, "#decision-table thead button")[3]
    button.click()
    assert _column(browser, 3) == sorted(_column(browser, 3))
    button.click()
    assert _column(browser, 3) == sorted(_column(browser, 3), reverse=True)
    heads = browser.find_elements(By.CSS_SELECTOR, "#decision-table thead th[aria-sort]")
    assert [head.get_attribute("aria-sort") for head in heads] == ["descending"]


def test_a_click_on_a_row_enlarges_it(browser: webdriver.Chrome, page: Path) -> None:
    _open(browser, page, 1280, "light")
    row = browser.find_element(By.CSS_SELECTOR, "button.zoom")  # its first column; the middle shows truths
    webdriver.ActionChains(browser).move_to_element_with_offset(row, -int(row.size["width"] * 0.4), 0).click().perform()
    dialog = browser.find_element(By.ID, "zoom")
    assert dialog.get_attribute("open") is not None
    assert dialog.find_element(By.TAG_NAME, "img").size["width"] > 900
    dialog.find_element(By.TAG_NAME, "button").click()
    assert dialog.get_attribute("open") is None


_SHOWN = """
const button = document.querySelectorAll('button.peek')[arguments[0]], image = button.querySelector('img');
const strip = button.parentElement.querySelector('.zoom img').getBoundingClientRect();
const box = image.getBoundingClientRect();
const left = button.getBoundingClientRect().left, tile = strip.width / 6;
return [getComputedStyle(image).display, Math.round((left - strip.left) / tile), Math.round((left - box.left) / tile),
  Math.round(box.width - strip.width)];
"""


@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.long)])
def test_pointing_focus_and_tap_show_the_truth_in_place_of_the_swap(
    browser: webdriver.Chrome, page: Path, width: int
) -> None:
    _open(browser, page, width, "light")
    buttons = browser.find_elements(By.CSS_SELECTOR, "button.peek")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", buttons[0])
    assert browser.execute_script(_SHOWN, 0)[0] == "none"
    webdriver.ActionChains(browser).move_to_element(buttons[0]).perform()
    assert browser.execute_script(_SHOWN, 0) == ["block", 2, 5, 0]  # over column 3 lies column 6, at the same scale
    webdriver.ActionChains(browser).move_to_element(buttons[1]).perform()
    assert browser.execute_script(_SHOWN, 0)[0] == "none"
    assert browser.execute_script(_SHOWN, 1) == ["block", 3, 0, 0]
    webdriver.ActionChains(browser).move_by_offset(0, 300).perform()
    buttons[1].click()
    assert buttons[1].get_attribute("aria-pressed") == "true"
    webdriver.ActionChains(browser).move_to_element(browser.find_element(By.TAG_NAME, "h3")).perform()
    assert browser.execute_script(_SHOWN, 1)[0] == "block"  # a tap stays


def test_keyboard_focus_shows_the_truth(browser: webdriver.Chrome, page: Path) -> None:
    _open(browser, page, 1280, "light")
    browser.find_element(By.CSS_SELECTOR, ".tiles button.zoom").send_keys("\ue004")
    assert browser.execute_script("return document.activeElement.className") == "peek to-dst"
    assert browser.execute_script(_SHOWN, 0)[0] == "block"


def test_a_name_that_is_a_script_does_not_run(browser: webdriver.Chrome, page: Path) -> None:
    _open(browser, page, 1280, "light")
    assert browser.title.startswith("bottleneck: ")
    shown = browser.find_element(By.ID, "decision-table").text
    assert "<script>document.title='owned'</script>" in shown
    assert "[red]" in shown and "=cmd()" in shown
    assert (
        "<script>alert(3)</script> makes [red] no =cmd() difference." in browser.find_element(By.TAG_NAME, "main").text
    )


_BOTTOM = """
return ['.lead', '.five', '.first .plot', '.verdicts'].map((s) => document.querySelector(s).getBoundingClientRect())
  .map((box) => [box.top >= 0, box.bottom, box.height > 20]);
"""


def test_the_answer_is_seen_without_scrolling(browser: webdriver.Chrome, tmp_path: Path) -> None:
    claims = tuple({**claim, "id": f"{claim['id']}.{turn}"} for turn in range(3) for claim in CLAIMS)
    folder = write_ledger(tmp_path / "bottleneck", claims=claims)
    _open(browser, build([folder], formats={"html"})[0], 1280, "light", unfold=False)
    for inside, bottom, seen in browser.execute_script(_BOTTOM):
        assert inside and seen and bottom <= 900
    assert len(browser.find_elements(By.CSS_SELECTOR, ".verdicts li")) == 9
    captions = [e.text.splitlines()[0] for e in browser.find_elements(By.CSS_SELECTOR, ".five figcaption")]
    assert captions == ["source", "target", "grid3", "grid7", "exact truth"]


def test_a_verdict_is_one_line_and_its_statistics_fold_out(browser: webdriver.Chrome, page: Path) -> None:
    _open(browser, page, 1280, "light", unfold=False)
    lines = browser.find_elements(By.CSS_SELECTOR, ".verdicts li")
    assert [line.text.split("\n")[0].strip("✓✕○") for line in lines] == ["supported", "refuted", "undecided"]
    assert all(line.size["height"] < 34 for line in lines)
    assert "identity transfer 0.258 [" in lines[0].text and lines[0].text.endswith("n = 3")
    why = lines[2].find_element(By.CSS_SELECTOR, ".why")
    assert not why.is_displayed()
    lines[2].find_element(By.TAG_NAME, "summary").click()
    assert why.is_displayed() and "The source expects: refuted" in why.text
    assert "harness run bottleneck --scale quick --seeds " in why.text
    button = why.find_element(By.CSS_SELECTOR, "button.copy")
    button.click()
    chosen = "return getSelection().toString()"
    assert browser.execute_script(chosen).startswith("harness run bottleneck --scale quick --seeds ")


_CANVAS = """
const canvas = document.querySelectorAll(arguments[0])[arguments[1]];
const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
return [pixels.reduce((sum, value) => sum + value, 0), Math.round(canvas.getBoundingClientRect().width)];
"""


def test_one_face_is_seen_large_for_every_variant_of_any_replicate(browser: webdriver.Chrome, page: Path) -> None:
    _open(browser, page, 1280, "light")
    shown = [browser.execute_script(_CANVAS, "#all canvas", place) for place in range(7)]
    assert all(width >= 256 for _, width in shown)
    assert len({total for total, _ in shown}) == 7  # driver, truth and five variants, none of them black or equal
    names = [e.text for e in browser.find_elements(By.CSS_SELECTOR, "#all figcaption")]
    assert names[:3] == ["driver", "exact truth", "grid3"]
    options = browser.find_elements(By.CSS_SELECTOR, "#people option")
    assert [option.text for option in options] == ["people far, seed 0", "people mid, seed 1", "people near, seed 2"]
    browser.find_elements(By.CSS_SELECTOR, "#face option")[5].click()
    assert browser.execute_script(_CANVAS, "#all canvas", 0) != shown[0]


def test_the_slider_lays_one_variant_over_another(browser: webdriver.Chrome, page: Path) -> None:
    _open(browser, page, 1280, "light")
    sides = [browser.execute_script(_CANVAS, f"#canvas-{side}", 0)[0] for side in "ab"]
    assert sides[0] != sides[1]
    set_to = "const s = document.getElementById('split'); s.value = arguments[0]; s.dispatchEvent(new Event('input'));"
    for share, clip in ((0, "inset(0px 100% 0px 0px)"), (100, "inset(0px 0% 0px 0px)"), (30, "inset(0px 70% 0px 0px)")):
        browser.execute_script(set_to, share)
        assert browser.execute_script("return document.getElementById('canvas-a').style.clipPath") == clip
    browser.find_elements(By.CSS_SELECTOR, "#side-a option")[1].click()
    assert browser.execute_script(_CANVAS, "#canvas-a", 0)[0] not in sides


def test_a_link_unfolds_what_it_leads_to(browser: webdriver.Chrome, page: Path) -> None:
    _open(browser, page, 1280, "light", unfold=False)
    pictures = browser.find_element(By.ID, "pictures")
    assert pictures.get_attribute("open") is None
    browser.find_element(By.CSS_SELECTOR, ".five a").click()
    WebDriverWait(browser, 5).until(lambda _: pictures.get_attribute("open") is not None)
