"""The documents as a site."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.system.processes import ROOT


def test_the_site_is_whole_and_fetches_nothing(tmp_path: Path) -> None:
    """It builds without a warning, each link leads somewhere, and no page loads from elsewhere."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"}
    assert {page for page in pages if not (tmp_path / page / "index.html").exists()} == set()
    for page in tmp_path.rglob("*.html"):
        if page.name == "404.html":  # its links are absolute
            continue
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r'(?:href|src)="([^"#?]+)', text):
            if not re.match(r"[a-z]+:", link):
                assert (page.parent / link).exists(), f"{page}: {link}"
        assert not re.search(r'<(?:script|img|iframe)[^>]*src="https?:', text)
        assert not re.search(r'<link[^>]*rel="stylesheet"[^>]*href="https?:', text)
