"""Nobody reads a half-translated page: every text of code and pages is there in Italian and in Polish."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parent.parent
PLACEHOLDER = re.compile(r"%\(\w+\)\w|%%")


@cache
def texts() -> frozenset[str | tuple[str, ...]]:
    """Every text that code and pages ask for."""
    with (ROOT / "buildsupport" / "babel.cfg").open(encoding="utf-8") as mapping:
        methods, options = parse_mapping_cfg(mapping)  # type: ignore[no-untyped-call]
    keywords = DEFAULT_KEYWORDS | {"lazy_gettext": None}
    return frozenset(found for _, _, found, _, _ in extract_from_dir(ROOT, methods, options, keywords))


def catalogue(language: str) -> Catalog:
    with (ROOT / "pilot" / "translations" / language / "LC_MESSAGES" / "messages.po").open("rb") as readable:
        return read_po(readable, locale=language)


def forms(text: str | Sequence[str] | None) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text or ())


def messages(language: str) -> Iterator[Message]:
    return (message for message in catalogue(language) if message.id)


@pytest.mark.parametrize("language", ["it", "pl"])
def test_the_catalogue_has_the_texts_of_the_code_and_no_others(language: str) -> None:
    assert {message.id for message in messages(language)} == texts()


@pytest.mark.parametrize("language", ["it", "pl"])
def test_every_text_is_translated_in_all_its_plural_forms(language: str) -> None:
    plurals = catalogue(language).num_plurals
    for message in messages(language):
        assert not message.fuzzy, message.id
        translated = forms(message.string)
        assert len(translated) == (1 if isinstance(message.id, str) else plurals), message.id
        assert all(form.strip() for form in translated), message.id


@pytest.mark.parametrize("language", ["it", "pl"])
def test_every_translation_keeps_the_placeholders(language: str) -> None:
    for message in messages(language):
        wanted = sorted(PLACEHOLDER.findall(forms(message.id)[-1]))
        for form in forms(message.string):
            found = sorted(PLACEHOLDER.findall(form))
            few = not isinstance(message.id, str) and set(found) <= set(wanted)  # a single one need not be counted
            assert found == wanted or few, (message.id, form)
