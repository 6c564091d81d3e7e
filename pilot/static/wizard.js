// The plan saves itself a second after the last change. Without this script its buttons do the same.
(() => {
  "use strict";
  const form = document.getElementById("plan");
  const note = document.getElementById("saved");
  const live = document.getElementById("live");
  if (!form || !window.fetch) return;
  let timer = 0;
  let saving = null;
  let stale = false;

  const save = async () => {
    const data = new FormData(form);
    data.set("act", "auto");
    try {
      const answer = await fetch(form.action, { method: "POST", body: data, redirect: "error" });
      const told = await answer.json();
      stale = answer.status === 409;
      note.textContent = told.saved;
      if (!answer.ok) return;
      form.elements.version.value = told.version;
      if (live) live.innerHTML = told.live;
    } catch {
      note.textContent = form.dataset.failed;
    }
  };

  const later = () => {
    clearTimeout(timer);
    if (stale) return;
    timer = setTimeout(() => { saving = (saving || Promise.resolve()).then(save).then(() => { saving = null; }); }, 1000);
  };

  form.addEventListener("input", later);
  form.addEventListener("change", (event) => {
    if (event.target.matches("[data-reload], [name$='.rule']")) {
      form.requestSubmit(document.getElementById("again"));
    }
  });
  // A button waits for the save under way, so that it does not come with a version that has just become old.
  form.addEventListener("submit", (event) => {
    clearTimeout(timer);
    if (!saving) return;
    event.preventDefault();
    const { submitter } = event;
    saving.then(() => form.requestSubmit(submitter));
  });
  document.documentElement.classList.add("scripted");
})();
