// The form of a segment: the fields of a kind of condition appear when it is chosen, and the count follows what is typed.
// Without this script the buttons of the form do the same.
"use strict";

(() => {
  const form = document.querySelector("form[data-count]");
  if (!form) return;
  form.classList.add("counts-itself");
  let asked = 0;
  let waiting;

  const fetched = async (address, act) => {
    const mine = (asked += 1);
    const given = new FormData(form);
    if (act) given.set("act", act);
    const answer = await fetch(address, { method: "POST", body: new URLSearchParams(given) });
    if (mine !== asked || !(answer.ok || answer.status === 422)) return null;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return answer.redirected ? null : { page, complete: answer.ok };
  };

  const put = (page, part) => {
    const fresh = page.querySelector(`form[data-count] ${part}`);
    if (fresh) form.querySelector(part).replaceWith(document.importNode(fresh, true));
  };

  const count = async () => {
    const found = await fetched(form.dataset.count);
    if (!found) return;
    if (found.complete) put(found.page, "[data-match]");
    else form.querySelector("[data-match]").replaceChildren();
  };

  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(count, 400);
  };

  form.addEventListener("change", async (event) => {
    if (!event.target.matches("[data-kind]")) return soon();
    clearTimeout(waiting);
    const found = await fetched(form.getAttribute("action"), "show");
    if (!found) return;
    put(found.page, "[data-rule]");
    document.getElementById(event.target.id)?.focus();
    form.querySelector("[data-match]").replaceChildren();
  });
  form.addEventListener("input", (event) => {
    if (event.target.closest("[data-rule]") && !event.target.matches("[data-kind]")) soon();
  });
})();
