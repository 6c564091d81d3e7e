"""`pilot demo`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from pilot.console import say


@click.command()
@click.option(
    "--customers", default=20_000, show_default=True, type=click.IntRange(400), help="Size of the made-up base."
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Another seed, another company.")
@click.option(
    "--out",
    default="var/demo",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where everything goes: database, mails, plan, report.",
)
@click.option(
    "--orders",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An order file in the Online Retail layout, in place of the made-up base.",
)
@click.option("--port", default=0, help="Port of the web admin; a free one by default.")
@click.option("--no-serve", is_flag=True, help="End after the report.")
def demo(customers: int, seed: int, out: Path, orders: Path | None, port: int, no_serve: bool) -> None:
    """Run a whole pilot, from customer base to PDF, and serve it.

    The web admin is served on the result until Ctrl-C.
    """
    from pilot.demo.road import LOGIN, Journey, walk
    from pilot.demo.summary import in_words

    say("A whole pilot, from customer base to report:")
    arrival = walk(Journey(customers, seed, out, orders, port))
    click.echo(in_words(arrival.summary, out))
    if no_serve:
        arrival.server.close()
        return
    click.echo(
        f"\nWeb admin:  {arrival.address}\nLog-in:     {LOGIN}\nPassword:   {arrival.password}\n\nCtrl-C ends it."
    )
    with suppress(KeyboardInterrupt):
        arrival.serving.join()
    say("Stopped.")
