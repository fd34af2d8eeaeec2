/* The overview while it lives: rows change where they are, none moves under the pointer, and a lost connection shows. */
"use strict";
(() => {
  const { find, all, isSignedOut } = window.dashboard;
  const stream = find("#o-stream");
  if (!stream) return;
  const LOST_AFTER = 12_000;  /* beats come every 5 s */
  const live = find("#o-live"), banner = find("#o-lost"), elsewhere = find("#o-elsewhere");
  let beatAt = Date.now();

  function isBack() {
    beatAt = Date.now();
    document.documentElement.removeAttribute("data-lost");
    banner.hidden = true;
    live.dataset.state = "live";
    find("[data-live-word]", live).textContent = "Live";
    find("time", live).setAttribute("data-clock", "");
  }
  function isLost() {
    if (isSignedOut() || !banner.hidden || Date.now() - beatAt < LOST_AFTER) return;
    const clock = find("time", live);
    clock.removeAttribute("data-clock");
    document.documentElement.setAttribute("data-lost", "");
    find("[data-lost-at]", banner).textContent = clock.textContent;
    banner.hidden = false;
    live.dataset.state = "lost";
    find("[data-live-word]", live).textContent = "Lost, as of";
  }
  setInterval(isLost, 1000);

  stream.addEventListener("beat", (event) => {
    isBack();
    const news = JSON.parse(event.detail.data);
    document.title = news.title;
    const moved = [...groups].filter(([key, group]) => news.groups[key] !== group).length
      + Object.entries(news.groups).filter(([key, group]) => isAwaited(group) && !groups.has(key)).length;
    elsewhere.hidden = moved === 0;
    find("[data-elsewhere]", elsewhere).textContent = moved === 1 ? "1 agent belongs elsewhere now." : `${moved} agents belong elsewhere now.`;
  });
  /* where each row stood when the page was drawn, and the groups of which the page shows every row */
  const groups = new Map(all("[data-row]").map((row) => [row.dataset.row, row.dataset.group]));
  const isAwaited = (group) => group !== "quiet" && (stream.dataset.show === "all" || stream.dataset.show === group);

  /* a row comes in both its forms, and a count for each heading: what this page does not have is dropped */
  stream.addEventListener("htmx:before:swap", ({ detail: { tasks } }) => {
    tasks.splice(0, tasks.length, ...tasks.filter((task) => task.target));
  });

  /* the chips filter as soon as one is chosen */
  for (const chip of all(".chip input")) chip.addEventListener("change", () => chip.form.requestSubmit());
})();
