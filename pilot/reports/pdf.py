"""HTML to PDF. The only module that knows WeasyPrint, which needs Pango on the machine and is imported late."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from types import ModuleType
from typing import Any

from pilot import resources
from pilot.errors import MissingLibrary

APT_LINE = "apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
VARIANT = "pdf/ua-1"
_FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSansMono.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralBol.ttf",
    "STIXGeneralItalic.ttf",
)


def library() -> ModuleType:
    """WeasyPrint, imported now.

    Raises:
        MissingLibrary: Pango is not installed; the remedy is the line that installs it.
    """
    try:
        import weasyprint
    except OSError as error:
        raise MissingLibrary(
            "the PDF cannot be written because the text layout library Pango is not installed",
            remedy=f"On Debian or Ubuntu run `{APT_LINE}`, then repeat this",
        ) from error
    module: ModuleType = weasyprint
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    return module


def render(html: str) -> bytes:
    """The document as a tagged PDF that declares PDF/UA-1. Equal documents give equal bytes.

    The document can show pictures given as data URIs and the assets of `assets()`; nothing is ever read
    from the network or from the disk on its behalf.

    Raises:
        MissingLibrary: Pango is not installed.
    """
    weasyprint = library()
    document = weasyprint.HTML(string=html, base_url="asset:", url_fetcher=fetcher())
    identifier = hashlib.sha256(html.encode()).digest()[:16]
    pdf: bytes = document.write_pdf(pdf_variant=VARIANT, pdf_identifier=identifier, pdf_tags=True)
    return pdf


def assets() -> dict[str, Path]:
    """What a report may refer to, by address: our style sheet, and the fonts that come with matplotlib.

    With fonts of its own a report looks the same on every machine.
    """
    import matplotlib as mpl

    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
    found = {f"asset:fonts/{name}": fonts / name for name in _FONTS}
    found["asset:report.css"] = resources.folder("templates") / "reports" / "report.css"
    return found


def fetcher() -> Any:
    """What fetches for a report: packaged assets and data URIs; ValueError for every other address."""
    from weasyprint.urls import URLFetcher, URLFetcherResponse

    known = assets()

    class Fetcher(URLFetcher):  # type: ignore[misc]
        """Knows the packaged assets and data URIs, and refuses every other address."""

        def fetch(self, url: str, headers: dict[str, str] | None = None) -> Any:
            if path := known.get(url):
                kind = "text/css" if path.suffix == ".css" else "font/ttf"
                return URLFetcherResponse(url, path.read_bytes(), {"Content-Type": kind})
            return super().fetch(url, headers)

    return Fetcher(allowed_protocols=("data",), allow_redirects=False)
