/* What every page may do beyond its HTML: theme, dialogs, shortcuts, copying, clocks. Each page is complete without. */
"use strict";
(() => {
  const root = document.documentElement;
  const find = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];

  /* ---- theme: pages that draw on a canvas listen to "theme" */
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const redraw = () => document.dispatchEvent(new CustomEvent("theme", { detail: { isDark: isDark() } }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  /* ---- clicks, on the document: parts of the page are replaced while it lives */
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if ("themeToggle" in button.dataset) {
      root.dataset.theme = isDark() ? "light" : "dark";
      localStorage.setItem("theme", root.dataset.theme);
      redraw();
    } else if (button.dataset.dialog) {
      document.getElementById(button.dataset.dialog)?.showModal();
    } else if ("close" in button.dataset) {
      button.closest("dialog")?.close();
    } else if (button.dataset.copy !== undefined) {
      copy(button);
    }
  });

  /* data-copy: the id of what is copied; empty: the code beside the button */
  async function copy(button) {
    const source = button.dataset.copy ? document.getElementById(button.dataset.copy) : find("code", button.parentElement);
    try {
      await navigator.clipboard.writeText(source.innerText.replace(/[ \t]+/g, " ").trim());
      button.setAttribute("aria-label", "Copied");
    } catch { /* this browser has no clipboard for us; the text can be selected */ }
  }

  /* ---- shortcuts: a letter only moves the focus; Enter or Space acts */
  const letters = find("[data-keys-on]");
  if (letters) {
    letters.checked = localStorage.getItem("letters") !== "off";
    letters.addEventListener("change", () => localStorage.setItem("letters", letters.checked ? "on" : "off"));
  }
  const isSeen = (element) => element.checkVisibility?.() ?? true;
  document.addEventListener("keydown", (event) => {
    if (!letters?.checked || event.ctrlKey || event.metaKey || event.altKey || find("dialog[open]")) return;
    if (event.target.matches("input:not([type=radio]):not([type=checkbox]), textarea, select")) return;
    const key = event.key.toLowerCase();
    const target = all("[aria-keyshortcuts]").find((element) => element.getAttribute("aria-keyshortcuts") === key && isSeen(element));
    if (!target) return;
    event.preventDefault();
    if (key === "?") { target.click(); return; }
    target.focus();
    target.scrollIntoView({ block: "nearest" });
  });

  /* ---- clocks: they run on the server's time, which the page brought along
     data-clock: shows the time now; data-until="ISO": shows what is left; data-since="ISO": shows how long ago. */
  const drawn = document.querySelector("meta[name=drawn-at]");
  const ahead = drawn ? Date.parse(drawn.content) - Date.now() : 0;
  const serverNow = () => Date.now() + ahead;
  const span = (milliseconds) => {
    const seconds = Math.max(0, Math.round(milliseconds / 1000));
    const [h, m, s] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), seconds % 60];
    const two = (value) => String(value).padStart(2, "0");
    if (h >= 24) return `${Math.floor(h / 24)}\u202fd ${h % 24}\u202fh`;
    if (h > 0) return `${h}\u202fh ${two(m)}\u202fmin`;
    return m > 0 ? `${m}\u202fmin ${two(s)}\u202fs` : `${s}\u202fs`;
  };
  function tick() {
    if (root.hasAttribute("data-lost")) return;
    const now = serverNow();
    for (const each of all("[data-clock]")) each.textContent = new Date(now).toISOString().slice(11, 19) + " UTC";
    for (const each of all("[data-until]")) each.textContent = span(Date.parse(each.dataset.until) - now);
    for (const each of all("[data-since]")) each.textContent = span(now - Date.parse(each.dataset.since));
  }
  setInterval(tick, 1000);
  tick();

  /* ---- a stream that is refused because nobody knows who asks: that is no lost connection */
  const signedOut = find("#signed-out");
  function setSignedOut(is) {
    if (!signedOut) return;
    signedOut.hidden = !is;
    root.toggleAttribute("data-lost", is);
    const live = find(".live");
    if (!is || !live) return;
    live.dataset.state = "lost";
    find("[data-live-word]", live).textContent = "Not live since";
    find("time", live).removeAttribute("data-clock");
  }
  const isSignedOut = () => signedOut !== null && !signedOut.hidden;
  document.addEventListener("htmx:sse:error", ({ detail }) => { if (detail.status === 401) setSignedOut(true); });
  document.addEventListener("htmx:sse:after:connection", ({ detail }) => { if (detail.connection.status < 300 && isSignedOut()) setSignedOut(false); });

  window.dashboard = { isSignedOut, setSignedOut, find, all, isDark, serverNow, span };
})();
