"""Pages in a real browser: Chromium without a window, driven by Playwright."""

import shutil
from dataclasses import dataclass, field

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

CHROMIUM = shutil.which("chromium")

# Whatever moves is counted, also after a key or a click, which browsers forgive.
WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => window.shifts.push(...list.getEntries()))
  .observe({ type: "layout-shift", buffered: true });
"""


@dataclass
class Opened:
    """A page in the browser, with what it said and what it asked for since it was opened."""

    page: Page
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def overflow(self) -> int:
        """CSS pixels by which the page is wider than its window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    def layout_shift(self) -> float:
        """What has moved since the page was opened: the sum of all layout shifts, 0 for none."""
        return self.page.evaluate("shifts.reduce((sum, entry) => sum + entry.value, 0)")

    def violations(self) -> list[str]:
        """What axe-core finds wrong with the page for those who cannot see or use a mouse."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{rule['id']}: {node['html']} {node['failureSummary']}"
            for rule in found
            for node in rule["nodes"]
        ]


@pytest.fixture(name="browser", scope="module")
def _browser():
    """One browser for all the tests of a file; without it they are skipped."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(name="open_page", scope="module")
def _open_page(browser, tmp_path_factory):
    """`open_page(html)` opens a whole page as a file; gives `Opened`.

    Keywords: width and height of the window in CSS pixels, scheme "light" or "dark", and
    whatever else Playwright's `new_context` takes. There is one window for each choice of them,
    for windows take longer to open than pages: it shows the page that was opened last.
    """
    path = tmp_path_factory.mktemp("page") / "page.html"
    windows: dict[str, Opened] = {}

    def open_page(html: str, *, width=1100, height=900, scheme="light", **options) -> Opened:
        key = repr((width, height, scheme, sorted(options.items())))
        if key not in windows:
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme, **options
            )
            context.add_init_script(WATCH_SHIFTS)
            windows[key] = Opened(context.new_page())
        opened = windows[key]
        opened.page.emulate_media(media="null")
        opened.page.mouse.move(0, 0)
        path.write_text(html, encoding="utf-8")
        opened.messages.clear()
        opened.requests.clear()
        opened.page.goto(path.as_uri())
        assert opened.requests.pop(0) == path.as_uri()
        return opened

    return open_page
