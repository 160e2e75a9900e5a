"""The first screen of a committed report as a picture, for the README: uv run python docs/report_picture.py

Needs Chromium and its driver (Debian: chromium, chromium-driver).
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

HOME = Path(__file__).resolve().parent
PAGE = HOME.parent / "results" / "reference" / "quick" / "bottleneck" / "report.html"
WIDTH, HEIGHT = 1280, 900  # of the page, pixels: what a reader sees first; the picture is a little smaller


def main() -> None:
    """Write docs/pictures/report.png."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", f"--window-size={WIDTH},{HEIGHT}", "--hide-scrollbars"):
        options.add_argument(argument)
    driver = shutil.which("chromedriver")
    browser = webdriver.Chrome(options=options, service=Service(driver) if driver else None)
    try:
        browser.get(PAGE.as_uri())
        shot = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    finally:
        browser.quit()
    shot = shot.resize((shot.width * 4 // 5, shot.height * 4 // 5), Image.Resampling.LANCZOS)
    shot.quantize(128).save(HOME / "pictures" / "report.png", optimize=True)


if __name__ == "__main__":
    main()
