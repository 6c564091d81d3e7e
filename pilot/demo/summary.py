"""The demo's result in words that a sales director understands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

VERDICTS = {
    "roll_out": "ROLL OUT. The desk is not worse by more than the margin, and it is cheaper.",
    "do_not": "DO NOT ROLL OUT. The desk is worse by more than the margin, or it is not cheaper.",
    "inconclusive": "INCONCLUSIVE. The answers do not settle it; the report says how many it would take.",
}


def in_words(summary: Mapping[str, Any], out: Path) -> str:
    """The summary of a demo as a block of text: base, sample, answers, findings, verdict, where things lie."""
    lines = [
        ("Base", _base(summary["base"])),
        ("Sample", _sample(summary)),
        ("Survey", _survey(summary["flow"])),
        *_findings(summary["comparisons"]),
        ("Verdict", VERDICTS[summary["verdict"]]),
        ("Report", str(out / "report.pdf")),
        ("Everything", f"{out}/: plan.toml, base/, mail/new/ (open any file), pilot.sqlite, summary.json"),
    ]
    return "\n" + "\n".join(_line(head, text) for head, text in lines)


def _line(head: str, text: str) -> str:
    return fill(text, width=100, initial_indent=f"  {head:<14}", subsequent_indent=" " * 16, break_on_hyphens=False)


def _base(base: Mapping[str, Any]) -> str:
    return (
        f"{base['customers']:,} customers; the best fifth makes {base['share_of_top_fifth']:.0%} of the year's revenue; "
        f"{base['segments']['small']:,} are small"
    )


def _sample(summary: Mapping[str, Any]) -> str:
    arms = ", ".join(f"{flow['assigned']:,} {arm}" for arm, flow in summary["flow"].items())
    return f"{arms}; drawn by chance from {summary['frame_size']:,} small customers that mail can reach"


def _survey(flow: Mapping[str, Mapping[str, int]]) -> str:
    return ", ".join(
        f"{arm} {counts['complete']:,} of {counts['invited']:,} answered ({counts['complete'] / counts['invited']:.0%})"
        for arm, counts in flow.items()
    )


def _findings(comparisons: list[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The first planned comparison of each outcome, as its own sentence says it."""
    heads = {"satisfaction": "Satisfaction", "cost": "Cost", "revenue": "Revenue"}
    found: dict[str, str] = {}
    for comparison in comparisons:
        if comparison["outcome"] in heads:
            found.setdefault(heads[comparison["outcome"]], comparison.get("sentence") or comparison["reason"])
    return list(found.items())
