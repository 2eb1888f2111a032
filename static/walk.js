// A walk through the neighbours with the arrow keys, and the trail of games that led here. Both are extras: the page is
// whole without them. The trail is kept by this tab alone and forgotten with it.
"use strict";

(() => {
  const game = document.querySelector("[data-game]");
  const links = [...document.querySelectorAll(".cards-matches .name a")];

  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
    const here = document.activeElement;
    // Keys that mean something where the reader is stay what they are.
    if (here && (here.closest("input, textarea, select, [role=listbox], .views, .strip-matches"))) return;
    const step = event.key === "ArrowRight" ? 1 : -1;
    const at = links.indexOf(here);
    const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step;
    if (!links[next]) return;
    event.preventDefault();
    links[next].focus();
    links[next].scrollIntoView({ block: "nearest" });
  });

  const KEPT = 8;
  const own = { id: game.dataset.game, name: game.dataset.name, path: location.pathname };
  let trail = [];
  try {
    trail = JSON.parse(sessionStorage.getItem("trail")) || [];
  } catch {
    // A tab that keeps nothing has no trail.
  }
  if (!Array.isArray(trail)) trail = [];
  trail = trail.filter((one) => one && /^\d+$/.test(one.id) && /^\/(render|store)/.test(one.path) && one.id !== own.id);
  const nav = document.querySelector(".trail");
  for (const one of trail.slice(-KEPT)) {
    const link = document.createElement("a");
    link.href = one.path;
    const name = document.createElement("bdi");
    name.textContent = String(one.name).slice(0, 60);
    link.append(name);
    nav.append(link);
  }
  try {
    sessionStorage.setItem("trail", JSON.stringify([...trail, own].slice(-KEPT - 1)));
  } catch {
    // As above.
  }
})();
