// A walk through the neighbours with the arrow keys. The page is whole without it.
"use strict";

(() => {
  // The card in the next row that stands under or above this one.
  function beside(cards, at, step) {
    const { left, top } = cards[at].getBoundingClientRect();
    for (let other = at + step; cards[other]; other += step) {
      const place = cards[other].getBoundingClientRect();
      if (Math.abs(place.left - left) < 2 && Math.abs(place.top - top) > 2) return other;
    }
    return -1;
  }

  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const here = document.activeElement;
    // Keys that mean something where the reader is stay what they are.
    if (here && here.closest("input, textarea, select, [role=listbox], .views, .trail, .strip-matches")) return;
    const cards = [...document.querySelectorAll("[data-list] .card")];
    const at = cards.indexOf(here?.closest(".card"));
    const isUpright = event.key === "ArrowDown" || event.key === "ArrowUp";
    if (isUpright && at < 0) return; // the page scrolls
    const next = isUpright ? beside(cards, at, step) : at < 0 ? (step > 0 ? 0 : cards.length - 1) : at + step;
    if (!cards[next]) return;
    event.preventDefault();
    cards[next].querySelector(".name a").focus();
    cards[next].scrollIntoView({ block: "nearest" });
  });
})();
