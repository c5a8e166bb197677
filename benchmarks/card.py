"""A dataset card as a page in a browser: how it looks, and whether it fits.

    python -m benchmarks.card DATASET_FOLDER PICTURE.png [--json]

The README becomes HTML as on the Hub: the YAML header is taken off, the rest is GitHub's Markdown
in a column of the Hub's width. Chromium renders it, reports what does not fit, and takes the
picture. It has to be installed; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from PIL import Image

from factory.hub.header import HEADER

WIDTH = 1000
"""Of the window, in CSS pixels; the column is 820 wide, as on the Hub."""
PHONE = 390

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Dataset card</title><base href="{base}/"><style>
body {{ margin: 0; font: 16px/1.6 "Source Sans 3", "DejaVu Sans", sans-serif; color: #1f2937; }}
main {{ max-width: 820px; margin: 0 auto; padding: 24px 16px; overflow-wrap: break-word; }}
h1, h2, h3 {{ line-height: 1.25; margin: 1.4em 0 .5em; }}
h2 {{ border-bottom: 1px solid #e5e7eb; padding-bottom: .2em; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; font-size: 14px; }}
th, td {{ border: 1px solid #d1d5db; padding: 4px 10px; text-align: left; }}
pre {{ background: #f3f4f6; padding: 12px; overflow-x: auto; border-radius: 6px; }}
code {{ font: 13px "DejaVu Sans Mono", monospace; }}
:not(pre) > code {{ background: #f3f4f6; padding: 1px 4px; border-radius: 4px; }}
img {{ max-width: 100%; }} blockquote {{ border-left: 4px solid #d1d5db; margin: 0;
padding-left: 1em; color: #4b5563; }} a {{ color: #1d4ed8; }}
</style><main>{body}</main><script>
addEventListener("load", () => {{
  const all = (selector) => [...document.querySelectorAll(selector)];
  const names = (list) => list.map((e) => e.textContent.trim().slice(0, 60));
  document.documentElement.dataset.found = JSON.stringify({{
    height: Math.ceil(document.querySelector("main").getBoundingClientRect().height),
    images: all("img").length,
    broken: all("img").filter((i) => !i.naturalWidth).map((i) => i.getAttribute("src")),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    wide: names(all("table").filter((t) => t.scrollWidth > t.clientWidth + 1)),
  }});
}});
</script></html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the browser saw."""

    height: int
    """Of the whole page, in CSS pixels."""
    images: int
    broken: list[str]
    """Sources of the pictures that did not load."""
    overflow: int
    """Pixels by which the page is wider than the window."""
    wide: list[str]
    """Tables wider than the column, by their beginning: a reader has to scroll within them."""


def browser() -> str | None:
    """The Chromium there is."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


def page(folder: Path) -> str:
    """The card of a dataset folder as HTML."""
    text = HEADER.sub("", (folder / "README.md").read_text(encoding="utf-8"), count=1)
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    base = html.escape(folder.resolve().as_uri())
    return PAGE.format(base=base, body=markdown.render(text))


def look(folder: Path, width: int = WIDTH) -> Found:
    """What does not fit in a window of this width."""
    with tempfile.TemporaryDirectory() as name:
        out = _chromium(folder, Path(name), f"--window-size={width},1000", "--dump-dom")
    found = re.search('data-found="([^"]*)"', out)
    if found is None:
        raise RuntimeError("the page did not load")
    return Found(**json.loads(html.unescape(found[1])))


def take_picture(folder: Path, picture: Path) -> Found:
    """The whole card as a PNG."""
    found = look(folder)
    with tempfile.TemporaryDirectory() as name:
        size = f"--window-size={WIDTH},{found.height}"
        shot = Path(name) / "shot.png"
        _chromium(folder, Path(name), size, "--hide-scrollbars", f"--screenshot={shot}")
        with Image.open(shot) as image:
            flat = image.convert("RGB").quantize(32, dither=Image.Dither.NONE)
            flat.save(picture, optimize=True)
    return found


def _chromium(folder: Path, home: Path, *options: str) -> str:
    source = home / "card.html"
    source.write_text(page(folder), encoding="utf-8")
    chromium = browser()
    if chromium is None:
        raise FileNotFoundError("no Chromium: sudo apt install chromium")
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--virtual-time-budget=10000",
        f"--user-data-dir={home / 'profile'}",
        *options,
        source.as_uri(),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = take_picture(given.folder, given.picture.absolute())
    print(f"{given.picture}: {WIDTH} x {found.height}, {found.images} pictures")
    for problem in (*found.broken, *found.wide):
        print(f"does not show or fit: {problem}")
    if given.json:
        print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
