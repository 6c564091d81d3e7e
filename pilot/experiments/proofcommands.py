"""`pilot experiment balance` and `spillover`: what the draw came to, and what could mix its arms."""

from __future__ import annotations

from dataclasses import asdict

import click
from flask.cli import with_appcontext

from pilot import console
from pilot.experiments import service, spillover
from pilot.experiments.representativeness import NOTABLE, Balance
from pilot.experiments.representativeness import balance as balance_of


@click.command()
@click.argument("key")
@console.json_option
@with_appcontext
def balance(key: str, as_json: bool) -> None:
    """Compare frame, sample and arms on every field.

    Values are those at the seal. Before the draw the frame is compared with the plan's segments.
    """
    found = balance_of(service.get(key))
    console.result({"key": key, **found.plain()}, as_json, lambda: _balance(found))


@click.command("spillover")
@click.argument("key")
@console.json_option
@with_appcontext
def spills(key: str, as_json: bool) -> None:
    """List what customers of different arms share.

    Tax number, mail domain, address, phone, name, rep: as the base is now.
    """
    found = spillover.find(service.get(key))
    data = {"key": key, "shared": [asdict(spill) for spill in found]}
    console.result(data, as_json, lambda: _spills(found))


def _balance(found: Balance) -> str:
    groups = list(found.sizes)
    compared = ["sample", *found.arms[1:]] if found.arms else ["frame"]
    rows = [
        (
            line.field if line.category is None else f"{line.field}: {line.category}",
            *(line.values[group] for group in groups),
            *(line.differences.get(group) for group in compared),
        )
        for line in found.lines
    ]
    table = console.table(["Field", *groups, *(f"d {group}" for group in compared)], rows)
    sizes = ", ".join(f"{group} {size:,}" for group, size in found.sizes.items())
    ends = [f"Customers: {sizes}."]
    if found.r is not None:
        ends.append(f"R-indicator {found.r:.2f}; differences of {NOTABLE} or more: {len(found.notable)}.")
    return "\n".join([table, "", *ends])


def _spills(found: list[spillover.Spill]) -> str:
    if not found:
        return "Customers of different arms share no tax number, mail domain, address, phone, name or rep."
    blocks = []
    for spill in found:
        blocks.append(f"{spillover.told(spill)}.")
        for tie in spill.ties:
            arms = ", ".join(f"{arm} {number:,}" for arm, number in tie.arms.items())
            blocks.append(f"  {tie.value}  ({arms}): {', '.join(tie.refs)}")
    return "\n".join(blocks)
