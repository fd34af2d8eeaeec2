/* Runs before the page is painted, so that a theme that was chosen does not flash. */
"use strict";
(() => {
  const asked = new URLSearchParams(location.search).get("theme");
  const theme = ["light", "dark"].includes(asked) ? asked : localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
})();
