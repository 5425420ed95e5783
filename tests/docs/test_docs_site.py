"""The built documentation: it builds without a warning and opens without a network."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from documented import ROOT

# Elements that make a browser fetch something, and the attribute that says what.
FETCHES = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}


class Fetched(HTMLParser):
    """Collects the addresses that a page fetches when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") in ("canonical", "next", "prev"):
            return
        if address := given.get(FETCHES.get(tag, "")):
            self.addresses.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site once, as strictly as the gate does."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_every_page_is_built(site: Path) -> None:
    """Each Markdown page becomes a page; the tools beside them do not."""
    built = {p.relative_to(site).with_suffix("").as_posix() for p in site.rglob("*.html")}
    written = {
        p.relative_to(ROOT / "docs").with_suffix("").as_posix()
        for p in (ROOT / "docs").rglob("*.md")
    }
    assert written <= built
    assert not (site / "tools").exists()


@pytest.mark.slow
def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """No script, style, font or picture comes from another host."""
    foreign = {}
    for page in site.rglob("*.html"):
        reader = Fetched()
        reader.feed(page.read_text(encoding="utf-8"))
        foreign[page.name] = [a for a in reader.addresses if re.match(r"(https?:)?//", a)]
    assert {k: v for k, v in foreign.items() if v} == {}
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", text), style.name


@pytest.mark.slow
def test_references_are_resolved(site: Path) -> None:
    """No role of a docstring and no Markdown link is left in the text as it was written."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r":(class|func|meth|mod|data|attr):(`|<code>)", text), page.name


@pytest.mark.slow
def test_no_page_needs_what_the_theme_fetches(site: Path) -> None:
    """The theme would fetch a program for diagrams of this class from elsewhere; we have none."""
    for page in site.rglob("*.html"):
        assert 'class="mermaid"' not in page.read_text(encoding="utf-8"), page.name


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_beside_the_site_lead_somewhere(page: str) -> None:
    """Relative links of the pages at the top name files that exist (mkdocs checks its own)."""
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in t]
    assert [t for t in targets if not (ROOT / t).exists()] == []


def test_picture_stands_alone() -> None:
    """The picture of the round names itself to a reader who does not see it and fetches nothing."""
    picture = (ROOT / "docs/assets/round.svg").read_text(encoding="utf-8")
    assert "<title" in picture
    assert "<desc" in picture
    addresses = set(re.findall(r"https?://[^\"'\s<>]+", picture))
    assert addresses == {"http://www.w3.org/2000/svg"}
