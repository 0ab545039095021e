// Keeps a page up to date: follows the events, loads the page again when something happened, and puts the parts that changed in place.
(() => {
  "use strict";
  for (const time of document.querySelectorAll("time")) local(time);

  // What is folded and linked to is unfolded.
  const unfold = () => {
    const aim = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let one = aim; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();

  const { events, run } = document.body.dataset;
  if (!events || !window.EventSource) return;

  const sign = document.getElementById("live");
  const known = new Map();
  for (const part of document.querySelectorAll("[data-live]")) known.set(part.id, part.innerHTML);
  let due = false;
  let loading = false;

  function local(time) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.title = at.toLocaleString();
  }

  function show(word) {
    if (!sign || sign.dataset.is === word) return;
    sign.hidden = false;
    sign.dataset.is = word;
    sign.textContent = word;
  }

  // A person who types or chooses is not interrupted.
  function busy(part) {
    const at = document.activeElement;
    return part.contains(at) && at.matches("input, select, textarea");
  }

  function swap(part, fresh) {
    if (known.get(part.id) === fresh.innerHTML || busy(part)) return;
    known.set(part.id, fresh.innerHTML);
    const open = new Map();
    for (const one of part.querySelectorAll("details[id]")) open.set(one.id, one.open);
    const focus = part.contains(document.activeElement) ? document.activeElement : null;
    const again = focus && { id: focus.id, href: focus.getAttribute("href") };
    part.replaceChildren(...fresh.childNodes);
    for (const one of part.querySelectorAll("details[id]")) if (open.has(one.id)) one.open = open.get(one.id);
    for (const time of part.querySelectorAll("time")) local(time);
    if (again) {
      const same = [...part.querySelectorAll("a, button, summary, [tabindex]")];
      const found = same.find((one) => (again.id && one.id === again.id) || (again.href && one.getAttribute("href") === again.href));
      if (found) found.focus({ preventScroll: true });
    }
  }

  async function load() {
    if (loading) { due = true; return; }
    loading = true;
    due = false;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.redirected || answer.status === 401) { location.reload(); return; }
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of document.querySelectorAll("[data-live]")) {
          const fresh = page.getElementById(part.id);
          if (fresh) swap(part, fresh);
        }
        document.title = page.title;
        // What can be done changes with how the run stands: forms are made anew by the service alone.
        const forms = (where) => [...where.querySelectorAll(".decide form")].map((form) => form.getAttribute("action")).join();
        if (forms(page) !== forms(document) && !document.querySelector(".decide :focus")) location.reload();
      }
    } catch { /* the stream tells when the service is back */ }
    setTimeout(() => { loading = false; if (due) load(); }, 700);
  }

  let source;
  function follow() {
    source = new EventSource(events);
    // What happened between the page and its stream is told by neither.
    source.onopen = () => { show("live"); load(); };
    source.onerror = () => show("offline");
    source.onmessage = (event) => {
      if (!run || JSON.parse(event.data).run === run) load();
    };
  }
  // Browsers keep pages that one went on from, and open six connections to a service at most: a stream that nobody sees is closed.
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) follow(); });
  follow();
})();
