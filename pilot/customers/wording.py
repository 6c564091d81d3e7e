"""What pages call the fields of a customer, and the words that stand in them."""

from __future__ import annotations

from flask_babel import gettext, lazy_gettext

from pilot.plugins.manager import plugins

FIELD_NAMES = {
    "ref": lazy_gettext("Customer number"),
    "name": lazy_gettext("Name"),
    "email": lazy_gettext("E-mail"),
    "phone": lazy_gettext("Phone"),
    "language": lazy_gettext("Language"),
    "region": lazy_gettext("Region"),
    "sales_rep": lazy_gettext("Sales rep"),
    "street": lazy_gettext("Street"),
    "city": lazy_gettext("City"),
    "postcode": lazy_gettext("Postcode"),
    "legal_entity": lazy_gettext("Tax number"),
    "sector": lazy_gettext("Sector"),
    "size": lazy_gettext("Size"),
    "opted_out_at": lazy_gettext("Wants no mail since"),
    "channel": lazy_gettext("Handled by"),
    "segment": lazy_gettext("Segment"),
    "activity": lazy_gettext("Activity"),
    "last_order": lazy_gettext("Last order"),
    "frequency": lazy_gettext("Orders"),
    "revenue_year": lazy_gettext("Revenue, 12 months"),
    "contribution_year": lazy_gettext("Contribution, 12 months"),
    "potential": lazy_gettext("Potential"),
}
"""A customer's fields and its profile's, as columns and labels."""

ACTIVITY_NAMES = {
    "new": lazy_gettext("New"),
    "active": lazy_gettext("Active"),
    "slowing": lazy_gettext("Slowing down"),
    "lapsed": lazy_gettext("Lapsed"),
    "lost": lazy_gettext("Lost"),
    "never": lazy_gettext("Never ordered"),
}
"""How a customer stands by its own rhythm."""

ACTIVITY_TONES = {"new": "is-info", "active": "is-live", "slowing": "is-caution", "lapsed": "is-bad"}
"""The class of the badge that shows it; the others are plain."""

REASON_NAMES = {
    "legal_entity": lazy_gettext("the same tax number"),
    "domain": lazy_gettext("the same mail domain"),
    "address": lazy_gettext("the same address"),
}
"""What two customers share who are likely one."""


def channel_names() -> dict[str, str]:
    """What the handling channels that are installed are called, by key."""
    ours = {"field-rep": gettext("Field rep"), "service-desk": gettext("Service desk")}
    return {part.key: ours.get(part.key, part.label) for part in plugins().all("handling_channels")}
