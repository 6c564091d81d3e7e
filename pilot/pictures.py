"""What all pictures share: SVG, drawn the same way from the same numbers every time.

Colours are told apart by colour-blind readers and in grey. Text is drawn as outlines, so a picture looks the same
wherever it is opened. Callers pass finished labels in the reader's language, and show the numbers of each picture in a
table beside it.
"""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, SOFT, HAIR = "#1b2733", "#4a5b6b", "#c3ced8"
HARM, WARN = "#f8ece4", "#a45a12"
GREY = "#a9b4c0"
SERIES = ("#0b7f7f", "#a45a12", "#5c4b9b", "#7d8c1f")

WIDTH = 6.7
"""Width of the text on an A4 page, in inches."""

_STYLE: dict[Any, Any] = {
    "text.parse_math": False,
    "svg.hashsalt": "pilot",
    "svg.fonttype": "path",
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "text.color": INK,
    "axes.edgecolor": HAIR,
    "axes.labelcolor": SOFT,
    "axes.linewidth": 0.8,
    "xtick.color": HAIR,
    "ytick.color": HAIR,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}
_drawing = threading.Lock()
"""Matplotlib keeps its style in one place for all threads."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture with the text that stands in for it."""

    svg: str
    alt: str

    @property
    def uri(self) -> str:
        """The picture as a data URI for `<img src>`."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


def figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of this size in inches, to be drawn on inside `style()`."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    empty = Figure((width, height))
    FigureCanvasSVG(empty)
    return empty


@contextmanager
def style(size: float = 8) -> Iterator[None]:
    """Own style for the time of one drawing, one thread at a time; `size` is that of the letters, in points."""
    from matplotlib import rc_context

    with _drawing, rc_context({**_STYLE, "font.size": size}):
        yield


def finish(
    drawn: Figure, alt: str, *, left: float = 0.067, right: float = 0.067, top: float = 0.5, bottom: float = 0.52
) -> Picture:
    """Fixed margins in inches, whatever the size; then the SVG without a date."""
    width, height = drawn.get_size_inches()
    drawn.subplots_adjust(left=left / width, right=1 - right / width, top=1 - top / height, bottom=bottom / height)
    out = io.StringIO()
    drawn.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return Picture(out.getvalue(), alt)
