"""Files and queries taken in: upload, mapping, progress, history, undo."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, redirect, render_template, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _
from werkzeug.exceptions import RequestEntityTooLarge

from pilot.accounts.guards import acting, requires
from pilot.customers.intake import columnmaps, forms, history, preview, reasons, service, uploads, wording, worker
from pilot.customers.intake.lease import interrupted
from pilot.customers.intake.preview import Preview
from pilot.customers.intake.queries import source_names
from pilot.customers.intake.rejects import in_language
from pilot.customers.intake.understanding import Overrules
from pilot.customers.intake.uploads import Upload
from pilot.customers.models import ColumnMap
from pilot.customers.people import listing
from pilot.errors import InputError, NotFound, StateError
from pilot.web import csrf

bp = Blueprint("imports", __name__, url_prefix="/imports")

READERS = ("operations", "analyst", "viewer")
LARGEST_UPLOAD = 500 * 2**20
"""Bytes."""
PAGE = 30
_LOOK_AGAIN = 2
"""Seconds."""


@bp.app_context_processor
def _words() -> dict[str, object]:
    return {"kind_names": wording.KIND_NAMES, "refusal": reasons.in_words}


@bp.get("")
@requires(*READERS)
def index() -> ResponseReturnValue:
    """What was imported, newest first, and the start of a new import."""
    return _history()


@bp.post("/new")
@requires("operations")
def upload() -> ResponseReturnValue:
    """Keep an uploaded file, or note that a source is to be asked, and go on to the page where it is understood."""
    request.max_content_length = LARGEST_UPLOAD
    try:
        csrf.protect()
        kept = _kept()
    except RequestEntityTooLarge:
        limit = _(
            "It is larger than %(megabytes)s MB. Divide it, or import it on the server: pilot import.", megabytes=500
        )
        return _history({"file": limit}), 413
    except InputError as error:
        chosen = {name: request.form.get(name, "") for name in ("kind", "source")}
        return _history({error.place: error.reason}, **chosen), 400
    return redirect(url_for("imports.mapping", token=kept.token))


csrf.exempt(upload)  # it checks by itself, once it is clear how much may be sent


@bp.get("/new/<token>")
@requires("operations")
def mapping(token: str) -> ResponseReturnValue:
    """How the file is understood, to be overruled, tried and taken over; or what became of it."""
    found = uploads.find(token)
    order = found.order
    if order is not None and (found.outcome is None or order["what"] == worker.UNDO):
        return redirect(url_for("imports.progress", token=token))
    if order is not None and not found.source and found.path is None:
        return render_template("imports/outcome.html", upload=found, outcome=found.outcome, ways=wording.ways)
    if order is not None and "overrules" in order:
        return _mapping_page(found, Overrules(**order["overrules"]), outcome=found.outcome)
    source = preview.as_found(found)
    entry = columnmaps.remembered(found.kind, columnmaps.digest_of(source.header if source is not None else ()))
    if entry is None:
        return _mapping_page(found, Overrules(), seen=preview.look(found, Overrules(), source=source))
    return _mapping_page(found, columnmaps.overrules_of(entry), remembered=entry)


@bp.post("/new/<token>")
@requires("operations")
def decide(token: str) -> ResponseReturnValue:
    """Look again with what was chosen, try it, or take it over."""
    found = uploads.find(token)
    chosen = forms.overrules(request.form, found.kind)
    seen = preview.look(found, chosen, digest=request.form.get("header", ""))
    act = request.form.get("act")
    if act not in (worker.TRY, worker.TAKE):
        return _mapping_page(found, chosen, seen=seen)
    if not seen.ready:
        return _mapping_page(found, chosen, seen=seen), 400
    if act == worker.TAKE:
        columnmaps.remember(acting(), found.kind, preview.found_digest(found, seen), seen.overrules)
    worker.give(acting(), found, act, seen.overrules, strict=request.form.get("rows") == "all")
    return redirect(url_for("imports.progress", token=token))


@bp.get("/new/<token>/progress")
@requires("operations")
def progress(token: str) -> ResponseReturnValue:
    """How far an order is; once it is carried out, what became of it."""
    found = uploads.find(token)
    outcome = found.outcome
    undoing = (found.order or {}).get("what") == worker.UNDO
    if undoing and outcome is not None:
        return _undone(int((found.order or {})["import_id"]), outcome.get("error"))
    if found.order is None or outcome is not None:
        number = (outcome or {}).get("import_id")
        if number and (outcome or {}).get("accepted", 1):
            return redirect(url_for("imports.show", number=number))
        return redirect(url_for("imports.mapping", token=token))
    page = render_template(
        "imports/progress.html",
        upload=found,
        trying=found.order["what"] == worker.TRY,
        undoing=undoing,
        entry=worker.begun(found),
        blocking=worker.in_the_way(found),
        interrupted=interrupted,
    )
    # A header, since assistive technology is told of it no more than of the meta element, and both do the same.
    return Response(page, headers={"Refresh": str(_LOOK_AGAIN)})


@bp.get("/new/<token>/rejects.csv")
@requires("operations")
def upload_rejects(token: str) -> ResponseReturnValue:
    """The refused rows of what was only tried, or of which nothing was taken over."""
    return _rejects_of(history.fetch_upload_rejects(acting(), uploads.find(token)), "rejects.csv")


@bp.get("/<int:number>")
@requires(*READERS)
def show(number: int) -> ResponseReturnValue:
    """What became of an import."""
    entry = service.import_of(number)
    may_read = acting().may(*listing.READERS)
    changes = history.changes(entry, request.args.get("after", 0, type=int)) if may_read else []
    shown = changes[: history.CHANGES_SHOWN]
    return render_template(
        "imports/import.html",
        entry=entry,
        state=wording.state_of(entry),
        state_names=wording.STATE_NAMES,
        state_tones=wording.STATE_TONES,
        ways=wording.ways(entry.reading),
        names=wording.FIELDS_OF[entry.kind],
        refusals=history.refusals(entry) if acting().may("operations") else [],
        changes=shown,
        first=not request.args.get("after"),
        more=shown[-1].id if len(changes) > len(shown) else None,
        works=acting().may("operations"),
        undoing=worker.undo_ordered(entry),
    )


@bp.get("/<int:number>/rejects.csv")
@requires("operations")
def rejects(number: int) -> ResponseReturnValue:
    """All refused rows with their reasons."""
    return _rejects_of(history.fetch_rejects(acting(), service.import_of(number)), f"import-{number}-rejects.csv")


@bp.get("/<int:number>/undo")
@requires("operations")
def confirm(number: int) -> ResponseReturnValue:
    """What undoing an import would do, to be confirmed."""
    return _undo_page(number)


@bp.post("/<int:number>/undo")
@requires("operations")
def undo(number: int) -> ResponseReturnValue:
    """Order an import to be taken back."""
    try:
        order = worker.give_undo(acting(), service.import_of(number))
    except StateError as error:
        return _undo_page(number, error), 409
    return redirect(url_for("imports.progress", token=order.token))


@bp.post("/<int:number>/resume")
@requires("operations")
def resume(number: int) -> ResponseReturnValue:
    """Go on with an interrupted import."""
    order = worker.give_resumption(acting(), service.import_of(number))
    return redirect(url_for("imports.progress", token=order.token))


def _rejects_of(path: Path, name: str) -> Response:
    """A kept file of refused rows, with headers and reasons in the language of the page."""
    told = in_language(path, get_locale().language, reasons.in_words)
    answer = Response(stream_with_context(told), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _kept() -> Upload:
    """What the form on the first page brought.

    Raises:
        InputError: It brought nothing that can be imported; the place is the field.
    """
    kind, source = request.form.get("kind", ""), request.form.get("source", "")
    if kind not in service.KINDS:
        raise InputError(_("Choose what the file tells of."), place="kind")
    file = request.files.get("file")
    if file is not None and file.filename:
        try:
            return uploads.keep(file.stream, file.filename, kind)
        except InputError as error:
            raise InputError(_("The file is empty, or has no name."), place="file") from error
    if source in source_names(kind):
        return uploads.keep_source(source, kind)
    if source:
        raise InputError(_("This source has no query for such rows."), place="source")
    raise InputError(_("Choose a file."), place="file")


def _history(errors: dict[str, str] | None = None, *, kind: str = "", source: str = "") -> str:
    works = acting().may("operations")
    entries = service.imports(PAGE + 1, request.args.get("before", type=int))
    shown = entries[:PAGE]
    sources = sorted({name for kind in service.KINDS for name in source_names(kind)}) if works else []
    return render_template(
        "imports/list.html",
        entries=[(entry, wording.state_of(entry)) for entry in shown],
        state_names=wording.STATE_NAMES,
        state_tones=wording.STATE_TONES,
        more=shown[-1].id if len(entries) > PAGE else None,
        waiting=uploads.waiting() if works else [],
        works=works,
        kinds=service.KINDS,
        sources=sources,
        errors=errors or {},
        chosen={"kind": kind or service.KINDS[0], "source": source},
    )


def _mapping_page(
    found: Upload,
    told: Overrules,
    *,
    seen: Preview | None = None,
    remembered: ColumnMap | None = None,
    outcome: dict[str, object] | None = None,
) -> str:
    seen = seen or preview.look(found, told)
    if remembered is not None and seen.error is not None:  # what was said of another file does not fit this one
        seen, remembered = preview.look(found, Overrules()), None
    return render_template(
        "imports/mapping.html",
        upload=found,
        preview=seen,
        names=wording.FIELDS_OF[found.kind],
        readings=forms.readings(seen),
        fields=forms.field_choices(seen, found.kind),
        short=forms.short,
        told=forms.told(found.kind),
        ways=wording.ways(seen.how),
        all_ways=wording.ways,
        remembered=remembered,
        outcome=outcome,
        strict=bool((found.order or {}).get("strict")) or request.form.get("rows") == "all",
    )


def _undone(number: int, error: dict[str, str] | None) -> ResponseReturnValue:
    """What became of an order to take an import back."""
    if error is None:
        return redirect(url_for("imports.show", number=number))
    reason = error["reason"] or _("Something went wrong here. It has been written to the log; nothing was changed.")
    return _undo_page(number, StateError(reason, remedy=error["remedy"]))


def _undo_page(number: int, error: StateError | None = None) -> str:
    entry = service.import_of(number)
    if entry.state == "undone" and error is None:
        raise NotFound(_("This import is undone already."))
    effect = None
    try:
        effect = service.undo_preview(acting(), number)
    except StateError as refused:
        error = error or refused
    return render_template("imports/undo.html", entry=entry, effect=effect, error=error)
