"""The explorer's files: their words in both languages, their modules, and what is served."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.errors import ToolError
from tools.explorer.files import PAGES, load_site

WEB = Path(__file__).resolve().parents[2] / "tools" / "explorer" / "web"
SCRIPTS = {path: path.read_text("utf-8") for path in sorted(WEB.rglob("*.js"))}
TABLES = [WEB / "core" / name for name in ("texts.js", "texts_day.js")]
ENTRIES = [
    entry
    for path in TABLES
    for entry in re.findall(r"^  (\w+): (\[.*\]),$", SCRIPTS[path], re.MULTILINE)
]
TEXTS = dict(ENTRIES)
COMPOSED = re.compile(r"`(\w+_)\$\{")
FIRST_VIEW = ("/", "/style.css", "/app.js", "/icon.svg")


def test_every_word_is_there_in_both_languages() -> None:
    assert len(TEXTS) == len(ENTRIES) > 400
    for key, pair in TEXTS.items():
        english, german = re.findall(r'"((?:[^"\\]|\\.)*)"', pair)
        assert english and german, key
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", german)), key


def test_pages_use_words_that_exist_and_no_word_is_unused() -> None:
    used = {key for text in SCRIPTS.values() for key in re.findall(r'\bt\(\s*"(\w+)"', text)}
    begun = tuple({start for text in SCRIPTS.values() for start in COMPOSED.findall(text)})
    assert used - set(TEXTS) == set()
    # Some are named in lists, and asked for by a variable.
    used |= {word for path, text in SCRIPTS.items() if path not in TABLES for word in quoted(text)}
    assert [key for key in TEXTS if key not in used and not key.startswith(begun)] == []


def quoted(text: str) -> list[str]:
    return re.findall(r'"(\w+)"', text)


def test_modules_import_what_is_there() -> None:
    for path, text in SCRIPTS.items():
        for names, target in re.findall(r'^import \{([^}]+)\} from "([^"]+)";', text, re.MULTILINE):
            found = (path.parent / target).resolve()
            assert found in SCRIPTS, f"{path.name} imports {target}"
            for name in names.split(","):
                exported = rf"^export (?:async )?(?:function|const|class) {name.strip()}\b"
                assert re.search(exported, SCRIPTS[found], re.MULTILINE), (path.name, name)


@pytest.mark.parametrize("sink", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"])
def test_no_script_makes_markup_of_text(sink: str) -> None:
    assert [path.name for path, text in SCRIPTS.items() if sink in text] == []


def test_the_first_view_is_light_and_every_page_has_an_address() -> None:
    site = load_site()
    core = [f"/{path.relative_to(WEB)}" for path in SCRIPTS if path.parent.name == "core"]
    found = [site.find(path) for path in (*FIRST_VIEW, "/pages/home.js", *core)]
    assert sum(len(file.body) for file in found if file) < 300_000
    assert site.find("/") is not None
    assert site.find("/account/C1") is site.find("/account") is not None
    assert site.find("/api/v1/status") is None
    assert site.find("/nothing") is None
    assert site.find("/../pyproject.toml") is None


@pytest.mark.parametrize("page", sorted(PAGES))
def test_the_index_names_what_a_page_needs_so_that_it_is_fetched_at_once(page: str) -> None:
    shown = WEB / "pages" / f"{page or 'home'}.js"
    needed = {shown}
    waiting = [WEB / "app.js", shown]
    while waiting:
        path = waiting.pop()
        targets = re.findall(r'^import .* from "([^"]+)";', SCRIPTS[path], re.MULTILINE)
        found = {(path.parent / target).resolve() for target in targets} - needed
        needed |= found
        waiting += found
    index = load_site().find(f"/{page}")
    assert index is not None
    named = re.findall(r'<link rel="modulepreload" href="/([^"]+)">', index.body.decode())
    assert len(named) == len(set(named))
    assert {WEB / name for name in named} == needed


def test_a_missing_chart_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("tools.explorer.files.find_spec", missing)
    with pytest.raises(ToolError, match="chart library"):
        load_site()
