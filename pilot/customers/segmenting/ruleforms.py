"""Rules as forms: made from the settings of each part, nested, read back with what was typed, without a script."""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from flask_babel import format_decimal, gettext, lazy_gettext
from flask_babel import gettext as _
from pydantic.fields import FieldInfo
from werkzeug.datastructures import MultiDict

from pilot.customers.rules import MAX_DEPTH, MAX_RULES, SegmentRule
from pilot.numerals import read_number, reading
from pilot.plugins.manager import plugins

ROOT = "r"
FIRST_RULE = "revenue-at-least"

RULE_NAMES = {
    "all-of": lazy_gettext("All of these"),
    "any-of": lazy_gettext("At least one of these"),
    "not": lazy_gettext("Not this"),
    "revenue-below": lazy_gettext("Revenue below"),
    "revenue-at-least": lazy_gettext("Revenue at least"),
    "revenue-between": lazy_gettext("Revenue between"),
    "orders-at-least": lazy_gettext("Orders at least"),
    "orders-at-most": lazy_gettext("Orders at most"),
    "last-order-at-least": lazy_gettext("Days since the last order at least"),
    "last-order-at-most": lazy_gettext("Days since the last order at most"),
    "contribution-below": lazy_gettext("Contribution below"),
    "contribution-at-least": lazy_gettext("Contribution at least"),
    "cost-at-least": lazy_gettext("Cost to serve at least"),
    "potential-at-least": lazy_gettext("Potential at least"),
    "interval-change-at-least": lazy_gettext("Slows down by a factor of at least"),
    "value-rank-at-most": lazy_gettext("Among the most valuable, by number"),
    "value-share-at-most": lazy_gettext("Among the most valuable, by share"),
    "activity-is": lazy_gettext("Activity is one of"),
    "region-is": lazy_gettext("Region is one of"),
    "sales-rep-is": lazy_gettext("Sales rep is one of"),
    "sector-is": lazy_gettext("Sector is one of"),
    "size-is": lazy_gettext("Size is one of"),
    "language-is": lazy_gettext("Language is one of"),
    "field-missing": lazy_gettext("Field is missing"),
    "everyone": lazy_gettext("Everyone else"),
}
"""What pages call the built-in rules; those of other plugins are called by their labels."""

SETTING_NAMES = {
    "amount": lazy_gettext("Amount"),
    "band": lazy_gettext("Band in percent"),
    "below": lazy_gettext("To below"),
    "customers": lazy_gettext("Customers"),
    "days": lazy_gettext("Days"),
    "factor": lazy_gettext("Factor"),
    "field": lazy_gettext("Field"),
    "orders": lazy_gettext("Orders"),
    "share": lazy_gettext("Share in percent"),
    "states": lazy_gettext("Activity"),
    "values": lazy_gettext("Values, one to a line"),
}
PERCENT = ("band", "share")


@dataclass
class Input:
    """One setting of a rule in the form. `typed` is what stands in it: texts, one or several."""

    name: str
    setting: str
    kind: str
    """`number`, `text`, `choice`, `ticks` or `lines`."""
    typed: list[str]
    choices: Sequence[str] = ()
    error: str = ""

    @property
    def label(self) -> str:
        """What the page calls it."""
        return str(SETTING_NAMES.get(self.setting) or gettext(self.setting.replace("_", " ").capitalize()))

    @property
    def reading(self) -> str | None:
        """How a number was read whose sign might be taken either way; None if it is plain."""
        return reading("".join(self.typed)) if self.kind == "number" else None


@dataclass
class Node:
    """One rule in the form, with its settings or the rules within it."""

    path: str
    rule: str
    inputs: list[Input] = field(default_factory=list)
    rules: list[Node] | None = None
    error: str = ""

    @property
    def depth(self) -> int:
        """0 for the outermost rule."""
        return self.path.count(".")

    @property
    def may_grow(self) -> bool:
        """Whether another rule may be put into it."""
        most = 1 if self.rule == "not" else MAX_RULES
        return self.rules is not None and len(self.rules) < most

    def nodes(self) -> list[Node]:
        """This rule and all within it."""
        return [self, *(node for inner in self.rules or [] for node in inner.nodes())]


def rule_names(*, combinations: bool = True) -> dict[str, str]:
    """What the rules that are installed are called, by key; those made of other rules first."""
    parts = plugins().all("segment_rules")
    ordered = sorted(parts, key=lambda part: not _holds_rules(part))
    return {part.key: rule_name(part.key) for part in ordered if combinations or not _holds_rules(part)}


def rule_name(key: str) -> str:
    """What pages call a rule."""
    known = RULE_NAMES.get(key)
    return str(known) if known else gettext(plugins().get("segment_rules", key).label)


def blank(rule: str, path: str = ROOT) -> Node:
    """A rule of this kind with nothing typed yet; a combination has one rule in it."""
    part = plugins().get("segment_rules", rule)
    if _holds_rules(part):
        return Node(path, rule, rules=[blank(FIRST_RULE, f"{path}.0")])
    return Node(path, rule, [_input(part, setting, path, None) for setting in _settings(part)])


def stored(rule: str, settings: Mapping[str, Any], path: str = ROOT) -> Node:
    """The form of a rule as it is stored."""
    part = plugins().get("segment_rules", rule)
    if _holds_rules(part):
        inner = [
            stored(item["rule"], item.get("settings", {}), f"{path}.{number}")
            for number, item in enumerate(settings["rules"])
        ]
        return Node(path, rule, rules=inner)
    return Node(path, rule, [_input(part, name, path, _shown(name, settings.get(name))) for name in _settings(part)])


def typed(form: MultiDict[str, str], path: str = ROOT) -> Node:
    """The form of a rule as it was posted; settings that it does not have are left out."""
    rule = form.get(f"{path}.rule", FIRST_RULE)
    if rule not in {part.key for part in plugins().all("segment_rules")}:
        rule = FIRST_RULE
    part = plugins().get("segment_rules", rule)
    if not _holds_rules(part):
        values = {name: form.getlist(f"{path}.{name}") for name in _settings(part)}
        return Node(path, rule, [_input(part, name, path, values[name] or None) for name in values])
    within = []
    if path.count(".") + 1 < MAX_DEPTH:
        numbers = [number for number in range(MAX_RULES) if f"{path}.{number}.rule" in form]
        within = [typed(form, f"{path}.{number}") for number in numbers]
    return _renumbered(Node(path, rule, rules=within or [blank(FIRST_RULE, f"{path}.0")]))


def grow(root: Node, path: str) -> None:
    """Put one more rule into the combination at this path."""
    for node in root.nodes():
        if node.path == path and node.may_grow:
            assert node.rules is not None  # noqa: S101
            node.rules.append(blank(FIRST_RULE, f"{path}.{len(node.rules)}"))


def prune(root: Node, path: str) -> None:
    """Take the rule at this path out of its combination; the last one stays."""
    for node in root.nodes():
        if node.rules and len(node.rules) > 1:
            node.rules = [inner for inner in node.rules if inner.path != path]
    _renumbered(root)


def settings_of(node: Node) -> dict[str, Any]:
    """The settings of a rule as they are stored; what cannot be read is marked in the form."""
    if node.rules is not None:
        return {"rules": [{"rule": inner.rule, "settings": settings_of(inner)} for inner in node.rules]}
    part = plugins().get("segment_rules", node.rule)
    return {item.setting: _read(item, _annotation(part, item.setting)) for item in node.inputs if not _left_out(item)}


def sound(root: Node) -> bool:
    """Whether nothing in the form is marked as wrong."""
    return not any(node.error or any(item.error for item in node.inputs) for node in root.nodes())


def mark(root: Node, place: str, reason: str) -> None:
    """Write a reason beside the setting that an error of the rule names, as `r.settings.rules[0].amount`."""
    path = re.sub(r"rules\[(\d+)\]", r"\1", place.replace(".settings", ""))
    for node in root.nodes():
        for item in node.inputs:
            if item.name == path:
                item.error = reason
                return
    max((node for node in root.nodes() if path.startswith(node.path)), key=lambda node: len(node.path)).error = reason


def _renumbered(node: Node) -> Node:
    for number, inner in enumerate(node.rules or []):
        old, inner.path = inner.path, f"{node.path}.{number}"
        for item in inner.inputs:
            item.name = inner.path + item.name.removeprefix(old)
        _renumbered(inner)
    return node


def _settings(part: type[SegmentRule]) -> list[str]:
    names = [setting.name for setting in dataclasses.fields(part)]  # type: ignore[arg-type]
    return sorted(names, key=lambda name: name == "band")


def _annotation(part: type[SegmentRule], name: str) -> Any:
    return get_type_hints(part, include_extras=True)[name]


def _bare(annotation: Any) -> Any:
    return _bare(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _holds_rules(part: type[SegmentRule]) -> bool:
    if [setting.name for setting in dataclasses.fields(part)] != ["rules"]:  # type: ignore[arg-type]
        return False
    kind = _bare(_annotation(part, "rules"))
    return get_origin(kind) is tuple and "SegmentRule" in repr(get_args(kind)[0])


def _input(part: type[SegmentRule], name: str, path: str, given: list[str] | None) -> Input:
    kind, choices = _kind(part, name)
    default = next(setting.default for setting in dataclasses.fields(part) if setting.name == name)  # type: ignore[arg-type]
    if given is None and default is not dataclasses.MISSING:
        given = _shown(name, default)
    if kind == "ticks":
        choices = [*choices, *(value for value in given or [] if value not in choices)]
    return Input(f"{path}.{name}", name, kind, given or [], choices)


def _kind(part: type[SegmentRule], name: str) -> tuple[str, Sequence[str]]:
    bare = _bare(_annotation(part, name))
    choices = list(part.choices(name))
    if bare in (int, float):
        return "number", ()
    if get_origin(bare) is tuple:
        return ("ticks", choices) if choices else ("lines", ())
    if get_origin(bare) is Literal:
        return "choice", choices or [str(value) for value in get_args(bare)]
    return ("choice", choices) if choices else ("text", ())


def _shown(name: str, value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [format_decimal(value * 100 if name in PERCENT else value, format="0.######")]
    return [] if value is None else [str(value)]


def _left_out(item: Input) -> bool:
    """An empty band is none; every other empty field is an error."""
    return item.setting == "band" and not "".join(item.typed).strip()


def _read(item: Input, annotation: Any) -> Any:
    if item.kind == "number":
        return _number(item, annotation)
    lines = [line.strip() for text in item.typed for line in text.splitlines() if line.strip()]
    if not lines:
        item.error = _("Choose or write at least one value.") if item.kind in ("ticks", "lines") else _("Fill this in.")
    return lines if item.kind in ("ticks", "lines") else "".join(lines)


def _number(item: Input, annotation: Any) -> float:
    text = "".join(item.typed).strip()
    try:
        value = read_number(text)
    except ValueError:
        item.error = _("Write a number, such as %(example)s.", example=format_decimal(1250.5))
        return 0.0
    value = value / 100 if item.setting in PERCENT else value
    if _bare(annotation) is int and value != int(value):
        item.error = _("Write a whole number.")
    item.error = item.error or _outside(value, annotation, 100 if item.setting in PERCENT else 1)
    return int(value) if _bare(annotation) is int and not item.error else value


_LIMITS: tuple[tuple[str, Callable[[float, float], bool], Any], ...] = (
    ("gt", operator.gt, lazy_gettext("Must be above %(limit)s.")),
    ("ge", operator.ge, lazy_gettext("Must be at least %(limit)s.")),
    ("lt", operator.lt, lazy_gettext("Must be below %(limit)s.")),
    ("le", operator.le, lazy_gettext("Must be at most %(limit)s.")),
)


def _outside(value: float, annotation: Any, scale: int) -> str:
    """What is wrong with a number that lies outside its setting's limits, or nothing."""
    limits = [limit for info in _infos(annotation) for limit in info.metadata]
    for name, holds, text in _LIMITS:
        for bound in (getattr(limit, name, None) for limit in limits):
            if bound is not None and not holds(value, bound):
                return str(text) % {"limit": format_decimal(bound * scale)}
    return ""


def _infos(annotation: Any) -> list[FieldInfo]:
    if get_origin(annotation) is not Annotated:
        return []
    inner, *more = get_args(annotation)
    return [info for info in more if isinstance(info, FieldInfo)] + _infos(inner)
