"""The base on a terminal: the numbers of the page, in words, bars and tables."""

from __future__ import annotations

from typing import Any

from pilot.config import current
from pilot.console import count, table

_LABELS = {"email": "e-mail", "sales_rep": "sales rep", "legal_entity": "tax number"}
_BAR = 30
_MONTHS = 13


def summed_up(summary: dict[str, Any]) -> str:
    """A base summary for people."""
    if not summary["profiled"]:
        return "There are no customers yet. Begin with: pilot import customers FILE"
    parts = [_heads(summary), _activity(summary), _concentration(summary), _months(summary), _cohorts(summary)]
    parts += [_channels(summary), _gaps(summary)]
    return "\n\n".join(part for part in parts if part)


def _heads(summary: dict[str, Any]) -> str:
    currency = current().currency
    newest = f", newest order {summary['newest_order']}" if summary["newest_order"] else ""
    lines = [
        f"{count(summary['profiled'], 'customer')} as of {summary['as_of']}{newest}",
        "",
        f"  {'Orders':<40} {summary['orders']:>14,}",
        f"  {'Revenue, ' + currency:<40} {summary['revenue']:>14,.0f}",
        f"  {'  of the last twelve months':<40} {summary['revenue_year']:>14,.0f}",
    ]
    if summary["share_of_top_fifth"] is not None:
        lines.append(f"  {'  share of the top fifth':<40} {summary['share_of_top_fifth']:>14.1%}")
    lines.append(f"  {'Cost to serve of these months':<40} {summary['cost_year']:>14,.0f}")
    margin = f"Contribution at a margin of {summary['gross_margin']:.0%}"
    lines.append(f"  {margin:<40} {summary['contribution_year']:>14,.0f}")
    potential = summary["potential"]
    if potential["compared"]:
        lines.append(
            f"  {'Potential of ' + format(potential['compared'], ',') + ' compared':<40} {potential['total']:>14,.0f}"
        )
    else:
        lines.append(f"  {'Potential':<40} {'not known':>14}")
    return "\n".join(lines)


def _activity(summary: dict[str, Any]) -> str:
    return "\n".join(["How they stand, each by its own rhythm", *_bars(summary["activity"], summary["profiled"])])


def _gaps(summary: dict[str, Any]) -> str:
    return "\n".join(["What is not known of them", *_bars(summary["missing"], summary["profiled"])])


def _concentration(summary: dict[str, Any]) -> str:
    found = summary["concentration"]
    if found["gini"] is None:
        return ""
    lines = [
        f"  the best {top:>2} % {share:>20.1%}  {'█' * round(share * _BAR)}" for top, share in found["top"].items()
    ]
    return "\n".join(["Share of the revenue of the last twelve months", *lines, f"  Gini index {found['gini']:>18.2f}"])


def _months(summary: dict[str, Any]) -> str:
    rows = [_month(month) for month in summary["months"][-_MONTHS:]]
    head = ["Month", "Revenue", "Orders", "Customers", "New", "Lost", "Churn"]
    return table(head, rows, title="Month by month") if rows else ""


def _month(month: dict[str, Any]) -> tuple[Any, ...]:
    name = month["month"] if month["finished"] else f"{month['month']} (not over)"
    if month["revenue"] is None:  # after the newest order
        return (name, *["not known"] * 6)
    return (
        name, round(month["revenue"]), month["orders"], month["customers"], month["new"],
        "" if month["lost"] is None else month["lost"],
        "" if month["churn"] is None else f"{month['churn']:.1%}",
    )  # fmt: skip


def _cohorts(summary: dict[str, Any]) -> str:
    cohorts = summary["cohorts"]
    if not cohorts:
        return ""
    longest = max(len(cohort["shares"]) for cohort in cohorts)
    rows = [
        (
            cohort["first"], cohort["customers"],
            *(f"{share:.0%}" for share in cohort["shares"][1:]), *[""] * (longest - len(cohort["shares"])),
        )
        for cohort in cohorts
    ]  # fmt: skip
    head = ["First order", "Customers", *(f"+{after}" for after in range(1, longest))]
    return table(head, rows, title="Who ordered again so many months later")


def _channels(summary: dict[str, Any]) -> str:
    rows = [
        (row["channel"], row["customers"], row["touches"], round(row["minutes"] / 60), round(row["cost"]))
        for row in summary["channels"]
    ]
    head = ["Channel", "Customers", "Touches", "Hours", "Cost"]
    return table(head, rows, title="What serving them cost in twelve months") if rows else ""


def _bars(counts: dict[str, int], total: int) -> list[str]:
    lines = []
    for name, number in counts.items():
        share = number / total if total else 0.0
        bar = "█" * round(share * _BAR) or ("▏" if number else "")
        lines.append(f"  {_LABELS.get(name, name):<10} {number:>9,} {share:>7.1%}  {bar}".rstrip())
    return lines
