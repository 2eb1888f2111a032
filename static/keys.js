// The keyboard: arrows walk through lists, single letters are short cuts, "?" shows them. A card is one stop of the Tab
// key; its buttons have letters. The page is whole without it.
"use strict";

(() => {
  const OFF = "keys-off"; // the name under which the browser keeps that a reader switched single letters off
  const KEYS = [
    ["← ↑ → ↓", "Walk through the list, move the map"],
    ["+ −", "Zoom the map"],
    ["Enter", "Open the cover in the map's middle"],
    ["/", "Search"],
    ["r", "A random game"],
    ["s", "Save the game in focus, or this one"],
    ["m", "Actions of the game in focus"],
    ["c", "Compare it"],
    ["f", "Flip one cover over the other, where two are compared"],
    ["Shift + ← →", "Move a cover on a board; Delete takes it off"],
    ["?", "These keys"],
  ];

  function oneStopEach() {
    for (const one of document.querySelectorAll("main .card :is(button, .nearest a, .why)")) one.tabIndex = isOff() ? 0 : -1;
  }
  addEventListener("DOMContentLoaded", oneStopEach); // after the buttons that other scripts add
  document.addEventListener("cards", oneStopEach);

  // The card in the next row that stands under or above this one.
  function beside(cards, at, step) {
    const { left, top } = cards[at].getBoundingClientRect();
    for (let other = at + step; cards[other]; other += step) {
      const place = cards[other].getBoundingClientRect();
      if (Math.abs(place.left - left) < 2 && Math.abs(place.top - top) > 2) return other;
    }
    return -1;
  }

  function walk(event, step) {
    const here = document.activeElement;
    // Keys that mean something where the reader is stay what they are.
    if (here?.closest("select, [role=listbox], .segments, .tabs, [popover]")) return;
    if (here?.closest(".example")) {
      const side = event.key === "ArrowRight" ? "next" : event.key === "ArrowLeft" ? "prev" : "";
      if (side) here.closest(".example").querySelector(`[rel~=${side}]`).click();
      return;
    }
    const cards = [...document.querySelectorAll("main .card")].filter((card) => card.offsetParent);
    const at = cards.indexOf(here?.closest(".card"));
    const isUpright = event.key === "ArrowDown" || event.key === "ArrowUp";
    if (isUpright && at < 0) return; // the page scrolls
    const next = isUpright ? beside(cards, at, step) : at + step; // from nowhere, right leads to the first
    if (!cards[next]) return;
    event.preventDefault();
    cards[next].querySelector(".name a").focus();
    cards[next].scrollIntoView({ block: "nearest" });
  }

  function isOff() {
    try {
      return localStorage.getItem(OFF) === "1";
    } catch {
      return false;
    }
  }

  function press(key, card) {
    if (key === "/") return openSearch();
    if (key === "r") return document.querySelector("[data-random]")?.click();
    if (key === "s") return (card ?? document).querySelector(card ? ".heart" : ".actions [data-save]")?.click();
    if (key === "m") return openMenu(card);
    if (key === "c") return card?.querySelector("a[href^='/compare/']")?.click();
    return help();
  }

  function openMenu(card) {
    card?.querySelector(".dots")?.click(); // of a card of results
    card?.querySelector(".menu:popover-open a")?.focus();
  }

  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
    if (document.activeElement?.closest("input:not([type=checkbox]), select, textarea")) return;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && !event.shiftKey) walk(event, step);
    if (!["/", "r", "s", "m", "c", "?"].includes(event.key) || event.repeat || isOff() && event.key !== "?") return;
    event.preventDefault();
    press(event.key, document.activeElement?.closest(".card"));
  });

  function openSearch() {
    const header = document.querySelector(".top");
    header.classList.toggle("is-searching", Boolean(header.querySelector(".search")));
    const input = document.querySelector(".top .search input") ?? document.querySelector("[type=search]");
    input?.focus();
    input?.select();
  }
  document.querySelector(".search-icon")?.addEventListener("click", (event) => {
    event.preventDefault();
    openSearch();
  });
  document.querySelector(".top .search")?.addEventListener("focusout", (event) => {
    if (!event.currentTarget.contains(event.relatedTarget)) event.target.closest(".top").classList.remove("is-searching");
  });

  function help() {
    const panel = document.querySelector(".help") ?? made();
    panel.togglePopover();
    panel.querySelector("input").focus();
  }

  function made() {
    const rows = KEYS.flatMap(([key, meaning]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, meaning)]);
    const box = make("input", { type: "checkbox" });
    box.checked = !isOff();
    box.addEventListener("change", () => {
      try {
        localStorage.setItem(OFF, box.checked ? "" : "1");
      } catch {
        // It holds until the next page.
      }
      oneStopEach();
    });
    const label = make("label", { class: "row" }, box, "Single letters are short cuts");
    const panel = make("div", { class: "panel help", popover: "", role: "dialog", "aria-label": "Keys" });
    panel.append(make("dl", {}, ...rows), label);
    document.querySelector("main").append(panel);
    return panel;
  }
})();
