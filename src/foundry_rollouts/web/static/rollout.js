/* The page of one rollout while it lives: parts that morph, commands that answer in place, and a connection that may
   be lost. Without this script the page is complete and each form is a form. */
"use strict";
(() => {
  const { find, all, serverNow, span, isSignedOut, setSignedOut } = window.dashboard;
  const root = document.documentElement;
  const LOST_AFTER = 12_000;  /* beats come every 5 s */
  const live = find("#r-live"), banner = find("#r-lost"), stream = find("#r-stream");

  /* ---- what the morph leaves alone: folds and dialogs that are open, and what an open dialog was drawn with */
  htmx.registerExtension("rollout", {
    htmx_before_morph_attr: (element, { attrName }) => !(attrName === "open" && element.matches("details, dialog")),
    htmx_before_morph_node: (element) => !(element instanceof HTMLDialogElement && element.open),
  });

  /* ---- a button that became another verb under the pointer does nothing for a second */
  const changedAt = new Map();
  let verbs = new Map();
  const noteVerbs = () => {
    const now = new Map(all("button[data-verb]").map((button) => [button.id, button.dataset.verb]));
    for (const [id, verb] of now) if (verbs.has(id) && verbs.get(id) !== verb) changedAt.set(id, Date.now());
    verbs = now;
  };
  noteVerbs();
  const lines = () => new Set(all("#r-line .line > li").map((line) => line.id));
  let known = lines();
  document.addEventListener("htmx:after:swap", () => {
    noteVerbs();
    for (const line of all("#r-line .line > li")) if (!known.has(line.id)) line.classList.add("is-new");
    known = lines();
    document.dispatchEvent(new CustomEvent("charts"));
  });

  /* ---- logs: at the end while following; a scroll up, or the button, holds them still */
  const MOST = 200;
  const follow = find("[data-follow]");
  const isFollowing = () => follow.getAttribute("aria-pressed") === "false";
  const toEnd = (list) => { list.scrollTop = list.scrollHeight; };
  const hold = (still) => {
    follow.setAttribute("aria-pressed", String(still));
    find("span", follow).textContent = still ? "Follow again" : "Hold still";
    if (!still) all("[data-tail]").forEach(toEnd);
  };
  function tidyLogs() {
    const isBad = find("input[name=lines]:checked")?.value === "bad";
    for (const list of all("[data-tail]")) {
      /* A stream that was opened again brings lines that are here already. */
      const ids = new Set();
      for (const line of [...list.children]) if (ids.size === ids.add(line.id).size) line.remove();
      while (list.children.length > MOST) list.firstElementChild.remove();
      for (const line of list.children) line.hidden = isBad && !line.matches(".warn, .error");
      if (isFollowing()) toEnd(list);
    }
  }
  follow.addEventListener("click", () => hold(isFollowing()));
  all("[data-tail]").forEach((list) => list.addEventListener("wheel", (event) => { if (event.deltaY < 0 && list.scrollTop > 0) hold(true); }, { passive: true }));
  all("input[name=lines]").forEach((choice) => choice.addEventListener("change", tidyLogs));
  document.addEventListener("htmx:after:swap", tidyLogs);
  tidyLogs();

  /* ---- commands */
  const answer = find("#r-answer");
  const say = (text) => { answer.textContent = text; answer.scrollIntoView({ block: "nearest" }); };
  document.addEventListener("submit", async (event) => {
    const form = event.target, button = event.submitter;
    if (!form.matches("[data-act]")) return;
    event.preventDefault();
    if (button?.getAttribute("aria-disabled") === "true") { say(find("#r-may")?.textContent ?? "That makes no sense now."); return; }
    if (Date.now() - (changedAt.get(button?.id) ?? 0) < 1000) { say("That button has just changed. Press it again if you want it."); return; }
    const body = new URLSearchParams(new FormData(form)), words = find("span", button), before = words?.textContent;
    form.closest("dialog")?.close();
    button.setAttribute("aria-disabled", "true");
    if (words) words.textContent = button.dataset.doing;
    answer.textContent = "";
    try {
      const sent = await fetch(button.getAttribute("formaction") || form.getAttribute("action"), { method: "POST", body, headers: { "HX-Request": "true" } });
      if (sent.status === 401) { setSignedOut(true); say("Nothing was done: your session has ended. Sign in again, and press again."); return; }
      const elsewhere = sent.headers.get("HX-Redirect") ?? (sent.redirected ? sent.url : null);
      if (elsewhere) { location.assign(elsewhere); return; }
      const text = await sent.text();
      if (text.includes("<hx-partial")) {
        await htmx.swap({ sourceElement: stream, target: stream, swap: "none", text });
        answer.scrollIntoView({ block: "nearest" });
        if (sent.ok) all("input[name=reason], input[name=why], textarea[name=reason]").forEach((field) => { field.value = ""; });
      } else {
        const page = new DOMParser().parseFromString(text, "text/html");
        say(`It was not done: ${find("main .lead", page)?.textContent.trim() ?? `the service answered ${sent.status}`}`);
      }
    } catch {
      say(`It did not arrive, nothing is known of it. On the command line: ${banner.dataset.command}`);
    } finally {
      if (words && words.textContent === button.dataset.doing) words.textContent = before;
      if (!find("#r-may")) button.removeAttribute("aria-disabled");
      if (!form.closest("dialog")) (document.getElementById(button.id) ?? button).focus({ preventScroll: true });
    }
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-ask], a[data-close]");
    if (!link || event.ctrlKey || event.metaKey) return;
    if ("close" in link.dataset && link.closest("dialog")) { event.preventDefault(); link.closest("dialog").close(); return; }
    const dialog = document.getElementById(link.dataset.ask);
    if (!("ask" in link.dataset)) return;
    event.preventDefault();
    if (link.getAttribute("aria-disabled") === "true" || !dialog) { say(link.title || find("#r-may")?.textContent || "That makes no sense now."); return; }
    dialog.showModal();
  });

  /* ---- the connection */
  let heard = Date.now(), heardAt = serverNow(), isLost = false, nextTry = 0;
  const clockOf = (milliseconds) => new Date(milliseconds).toISOString().slice(11, 19);
  function isAlive() {
    heard = Date.now();
    heardAt = serverNow();
    if (isLost || live.dataset.state !== "live") show(false);
  }
  function show(lost) {
    isLost = lost;
    banner.hidden = !lost;
    root.toggleAttribute("data-lost", lost);
    live.dataset.state = lost ? "lost" : "live";
    find("[data-live-word]", live).textContent = lost ? "Not live since" : "Live";
    const time = find("time", live), stale = find("#r-stale");
    time.toggleAttribute("data-clock", !lost);
    if (lost) time.textContent = `${clockOf(heardAt)} UTC`;
    stale.hidden = !lost;
    find("span", stale).textContent = `as of ${clockOf(heardAt)}`;
    find("[data-lost-at]", banner).textContent = clockOf(heardAt);
    /* A countdown that nobody updates says when it would be over instead. */
    for (const each of all("[data-until]")) if (lost) each.textContent = `until ${clockOf(Date.parse(each.dataset.until))}`;
  }
  const connection = () => stream._htmx?.sse;
  /* A first try that failed leaves no connection behind that would try again. */
  function connect() {
    nextTry = Date.now() + 8000;
    htmx.ajax("GET", stream.getAttribute("hx-sse:connect"), { source: stream, target: stream, swap: "none" }).catch(() => {});
  }
  function tryNow() {
    if (!connection()) { connect(); return; }
    nextTry = 0;
    connection().delayCanceller?.();
  }
  stream.addEventListener("beat", (event) => {
    isAlive();
    const beat = JSON.parse(event.detail.data);
    document.title = `${beat.title} · foundry-rollouts`;
  });
  stream.addEventListener("htmx:sse:after:message", isAlive);
  stream.addEventListener("htmx:sse:before:connection", (event) => {
    const { attempt } = event.detail.connection;
    nextTry = Date.now() + Math.min(500 * 2 ** Math.max(attempt - 1, 0), 8000);
  });
  find("[data-try-now]", banner).addEventListener("click", tryNow);
  addEventListener("online", tryNow);
  setInterval(() => {
    if (isSignedOut()) return;
    if (!isLost && live.dataset.state !== "drawn" && Date.now() - heard > LOST_AFTER) {
      show(true);
      connection()?.reader?.cancel?.();  /* a stream may be dead without an end: begin another */
    }
    if (!isLost) return;
    if (!connection() && Date.now() > nextTry) connect();
    find("[data-lost-for]", banner).textContent = span(Date.now() - heard);
    find("[data-lost-next]", banner).textContent = span(Math.max(nextTry - Date.now(), 0));
  }, 500);
  setTimeout(() => { if (live.dataset.state === "drawn" && Date.now() - heard > LOST_AFTER) show(true); }, LOST_AFTER + 500);
})();
