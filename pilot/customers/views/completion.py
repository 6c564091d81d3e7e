"""What is missing in the data of customers, and the work list to fill it in."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from pilot.accounts.guards import acting, requires
from pilot.config import LANGUAGES
from pilot.customers import service
from pilot.customers.people import amending, completion, listing
from pilot.customers.people import forms as listforms
from pilot.customers.people.completion import WORKERS, FieldErrors, Task
from pilot.customers.people.listkeys import GAPS
from pilot.customers.people.progress import progress
from pilot.customers.wording import FIELD_NAMES
from pilot.errors import InputError, NotFound, StateError

bp = Blueprint("completion", __name__, url_prefix="/completion")


@bp.get("")
@requires("operations", *WORKERS)
def home() -> ResponseReturnValue:
    """How far the work list is, for operations; whoever works it goes straight to work."""
    if not acting().may("operations"):
        return redirect(url_for("completion.work"))
    return _progress_page()


@bp.post("/list")
@requires("operations")
def build() -> ResponseReturnValue:
    """Make the work list anew."""
    query, errors = listforms.read(request.form)
    try:
        if errors:
            raise FieldErrors(errors)
        completion.build(acting(), request.form.getlist("field"), query)
    except InputError as error:
        return _progress_page(error), 400
    return redirect(url_for("completion.home"))


@bp.get("/work")
@requires(*WORKERS)
def work() -> ResponseReturnValue:
    """The customer claimed at present, or the way to the next; before that, the confidentiality text."""
    text = _confidentiality()
    if not completion.accepted(acting(), text):
        return render_template(
            "completion/accept.html", paragraphs=text.split("\n\n"), shown=completion.text_hash(text)
        )
    saved = request.args.get("saved", type=int)
    return _work_page(completion.claimed(acting()), saved=saved, nothing="nothing" in request.args)


@bp.post("/accept")
@requires(*WORKERS)
def accept() -> ResponseReturnValue:
    """Accept the confidentiality text that was shown."""
    with suppress(StateError):  # a text that has changed is shown again, as it is now
        completion.accept(acting(), _confidentiality(), request.form.get("shown", ""))
    return redirect(url_for("completion.work"))


@bp.post("/next")
@requires(*WORKERS)
def following() -> ResponseReturnValue:
    """Claim the next customer."""
    return _next()


@bp.post("/<int:number>")
@requires(*WORKERS)
def settle(number: int) -> ResponseReturnValue:
    """Save what was found out, give the customer back, or say why nothing can be found out."""
    form = request.form
    try:
        if form.get("do") == "impossible":
            completion.give_up(acting(), number, form.get("note", ""))
        elif form.get("do") == "back":
            completion.give_back(acting(), number)
            return redirect(url_for("completion.work"))
        elif task := completion.save(acting(), number, form):
            return _work_page(task, saved=number)
    except FieldErrors as error:
        return _work_page(completion.claimed(acting()), error=error), 400
    return _next(None if form.get("do") == "impossible" else number)


@bp.get("/<int:number>/correct")
@requires(*WORKERS)
def correct(number: int) -> ResponseReturnValue:
    """What one has just filled in for a customer, to be corrected."""
    return _amending_page(number)


@bp.post("/<int:number>/correct")
@requires(*WORKERS)
def amend(number: int) -> ResponseReturnValue:
    """Take over what was corrected."""
    try:
        amending.amend(acting(), number, request.form)
    except FieldErrors as error:
        return _amending_page(number, error), 400
    return redirect(url_for("completion.work", saved=number))


def _next(saved: int | None = None) -> ResponseReturnValue:
    task = completion.claim(acting(), _confidentiality())
    return redirect(url_for("completion.work", nothing=None if task else 1, saved=saved))


def _confidentiality() -> str:
    return render_template("completion/confidentiality.txt").strip()


def _work_page(
    task: Task | None, *, error: FieldErrors | None = None, saved: int | None = None, nothing: bool = False
) -> str:
    return render_template(
        "completion/work.html",
        task=task,
        entered=request.form if error else {},
        saved=amending.filled(acting(), saved) if saved else None,
        nothing=nothing,
        longest=completion.LONGEST_NOTE,
        **_fields(error),
    )


def _amending_page(number: int, error: FieldErrors | None = None) -> str:
    filled = amending.filled(acting(), number)
    if filled is None:
        raise NotFound(gettext("this customer is not yours any more"), remedy=gettext("Take the next customer"))
    entered = request.form if error else filled.values
    return render_template("completion/correct.html", filled=filled, entered=entered, **_fields(error))


def _fields(error: FieldErrors | None) -> dict[str, object]:
    """What the fields of a form need to be shown with what is wrong with them."""
    return {
        "errors": error.errors if error else {},
        "doubts": error.doubts if error else (),
        "sure": completion.SURE,
        "codes": LANGUAGES,
    }


def _progress_page(error: InputError | None = None) -> str:
    query, _errors = listforms.read(request.values)
    return render_template(
        "completion/progress.html",
        progress=progress(acting()),
        error=error,
        gaps=[(gap, FIELD_NAMES[gap]) for gap in GAPS],
        chosen=request.form.getlist("field") or ["email", "phone"],
        query=query,
        segments={segment.key: segment.name for segment in service.segments()},
        choices={
            name: [(value, value) for value in listing.choices(name) if value] for name in ("region", "sales_rep")
        },
    )
