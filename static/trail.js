// The trail of games that led to this one, drawn before the page below it is, so that nothing moves. It is kept by this
// tab alone and forgotten with it.
"use strict";

(() => {
  const KEPT = 8;
  const nav = document.querySelector(".trail");
  const own = { id: nav.dataset.game, name: nav.dataset.name, path: location.pathname };
  let trail = [];
  try {
    trail = JSON.parse(sessionStorage.getItem("trail")) || [];
  } catch {
    // A tab that keeps nothing has no trail.
  }
  if (!Array.isArray(trail)) trail = [];
  trail = trail.filter((one) => one && /^\d+$/.test(one.id) && /^\/(render|store)/.test(one.path) && one.id !== own.id);
  const list = document.createElement("ol");
  list.setAttribute("role", "list");
  for (const one of trail.slice(-KEPT)) {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = one.path;
    const name = document.createElement("bdi");
    name.textContent = String(one.name).slice(0, 60);
    link.append(name);
    item.append(link);
    list.append(item);
  }
  if (list.childElementCount) {
    nav.append(list);
    nav.scrollLeft = nav.scrollWidth; // where one comes from is last
    nav.classList.toggle("is-cut", nav.scrollLeft > 0);
  }
  try {
    sessionStorage.setItem("trail", JSON.stringify([...trail, own].slice(-KEPT - 1)));
  } catch {
    // As above.
  }
})();
