"""Whether texts that turn the direction of writing turn anything beside them on a page."""

from __future__ import annotations

from html.parser import HTMLParser

TURNED = "\u202e"
"""From here on all is written from right to left, up to the end of what isolates it."""
_ALONE = {"option", "title", "textarea", "button"}
_EMPTY = {"meta", "link", "input", "br", "img", "hr"}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, bool]] = []
        self.seen, self.leaks = 0, list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._more(f"<{tag}>")
        if tag not in _EMPTY:
            self.open.append((tag, False))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not data.strip() or not self.open:
            return
        self._more(data)
        if TURNED in data and self.open[-1][0] not in _ALONE:
            self.seen += 1
            self.open[-1] = (self.open[-1][0], True)
            if not data.rstrip().endswith(f"{TURNED}x"):
                self.leaks.append(data.strip())

    def _more(self, what: str) -> None:
        if self.open and self.open[-1][1]:
            self.leaks.append(what.strip())


def leaks(page: str) -> tuple[int, list[str]]:
    """How often a text that ends in `TURNED` and x is shown, and what follows it in the same element, so turned as well."""
    reader = _Page()
    reader.feed(page)
    return reader.seen, reader.leaks
