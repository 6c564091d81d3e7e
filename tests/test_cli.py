"""`pilot --help`: quick, and every command told in a whole line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from pilot.cli import group
from pilot.console import LazyGroup, count, result
from pilot.demo import summary
from pilot.errors import PilotError
from pilot.mail import commands as mail
from pilot.mail.service import SendResult

LOADED = """
import json, sys
from click.testing import CliRunner
from pilot.cli import group
assert CliRunner().invoke(group, ["--help"]).exit_code == 0
print(json.dumps(sorted(name for name in sys.modules if name.startswith("pilot."))))
"""


def groups(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Group]]:
    """The group and all groups below it, with the words that lead there."""
    if isinstance(command, click.Group):
        yield path, command
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from groups(below, (*path, name))


def test_help_imports_no_command() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == {"pilot.cli", "pilot.console", "pilot.errors"}


@pytest.mark.parametrize(("path", "found"), [(" ".join(path), found) for path, found in groups(group)])
def test_no_line_of_help_is_cut(path: str, found: click.Group) -> None:
    told = CliRunner().invoke(group, [*path.split(), "--help"], terminal_width=80).output
    _, _, listed = told.partition("Commands:\n")
    lines = listed.rstrip().splitlines()
    assert [line.split()[0] for line in lines] == found.list_commands(click.Context(found))
    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []


@pytest.mark.parametrize("found", [found for _, found in groups(group) if isinstance(found, LazyGroup)])
def test_a_line_of_help_is_the_commands_own_first_sentence(found: LazyGroup) -> None:
    for name, (_, line) in found.lazy.items():
        command = found.get_command(click.Context(found), name)
        assert command is not None
        assert command.get_short_help_str(200) == line, name


def test_a_number_stands_with_its_noun() -> None:
    assert [count(0, "case"), count(1, "case"), count(1200, "case")] == ["0 cases", "1 case", "1,200 cases"]
    assert [count(1, "touch", "touches"), count(2, "touch", "touches")] == ["1 touch", "2 touches"]


def test_large_numbers_are_grouped() -> None:
    sent = SendResult(sent=1200, deferred=1300, failed=1400, withdrawn=1500, uncertain=1600)
    assert mail._sentence(sent) == (
        "1,200 sent, 1,300 to be tried again, 1,400 failed, 1,500 withdrawn, 1,600 uncertain."
    )
    flow = {"control": {"complete": 1500, "invited": 3000}}
    assert summary._survey(flow) == "control 1,500 of 3,000 answered (50%)"


def test_what_is_not_json_is_never_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PilotError, match="--json: a number of the result is not finite"):
        result({"p": [float("-inf")]}, True, str)
    assert capsys.readouterr().out == ""
