"""The report as one HTML document: the registered sections in order, in one language."""

from __future__ import annotations

import logging

from flask import current_app
from flask_babel import force_locale
from flask_babel import gettext as _
from markupsafe import Markup

from pilot.plugins.manager import plugins
from pilot.reports import wording
from pilot.reports.material import Material
from pilot.reports.sections import ReportSection

log = logging.getLogger(__name__)


def write(material: Material) -> str:
    """The whole report. Text from people is escaped and shortened; equal material gives an equal document."""
    with force_locale(material.language):
        parts = sorted(plugins().all("report_sections"), key=lambda part: (part.position, part.key))
        sections = [text for part in parts if (text := _section(material, part()))]
        return _render("report", material, sections=sections)


def _section(material: Material, part: ReportSection) -> Markup | None:
    """One section. One that fails says so in its place, and the rest of the report stands."""
    try:
        context = part.context(material)
        if context is None:
            return None
        return Markup(_render(part.template.removesuffix(".html"), material, **context))  # noqa: S704 - our own template, escaped
    except Exception:
        plugin = plugins().registry.owner("report_sections", part.key)
        log.exception("report section %s of plugin %s failed", part.key, plugin)
        reason = _("The section “%(part)s” of plugin “%(plugin)s” could not be written.", part=part.key, plugin=plugin)
        return Markup('<section class="failed"><p>{}</p></section>').format(reason)


def _render(name: str, material: Material, **values: object) -> str:
    template = current_app.jinja_env.get_template(f"reports/{name}.html")
    return template.render(
        m=material,
        count=wording.count,
        day=wording.day,
        level=wording.level,
        share=wording.share,
        short=wording.short,
        **values,
    )
