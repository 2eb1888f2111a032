// Suggestions: the WAI-ARIA editable combobox with list autocomplete and manual selection.
"use strict";

const PAUSE = 90; // milliseconds of rest before a keystroke is worth a request

for (const field of document.querySelectorAll("[data-suggest]")) attach(field);

function attach(field) {
  const input = field.querySelector("input");
  const chosen = make("input", { type: "hidden", name: "chosen" }); // what is added: an appid, or the words that were typed
  const adds = input.name === "add"; // to a query, instead of leading to a game's page
  const takesWords = "words" in field.dataset;
  const id = `${input.id}-list`;
  const list = make("div", { id, class: "suggestions", role: "listbox", "aria-label": "Suggested games", hidden: "" });
  const status = make("p", { class: "hidden", role: "status" });
  // A list without an option is none. The status says it.
  const hints = { class: "suggestions suggestions-note", "aria-hidden": "true", hidden: "" };
  const note = make("p", hints, "No game has a name like this");
  let suggestions = [];
  let active = -1;
  let timer = 0;
  let request = null;

  field.append(list, note, status, ...(adds ? [chosen] : []));
  change(input, { role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": id });

  input.addEventListener("input", () => {
    activate(-1); // what was suggested for less is not meant any more
    chosen.value = "";
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return; // Enter and arrows belong to the input method
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.altKey && event.key === "ArrowUp") {
      event.preventDefault();
      close();
    } else if (step) {
      event.preventDefault();
      if (list.hidden) ask().then(() => event.altKey || activate(step > 0 ? 0 : suggestions.length - 1));
      else activate(active + step);
    } else if (["Home", "End", "ArrowLeft", "ArrowRight"].includes(event.key)) {
      activate(-1); // the caret moves, and with it what Enter means
    } else if (event.key === "Enter" && !list.hidden && active >= 0) {
      event.preventDefault();
      if (adds) choose(suggestions[active]);
      else list.querySelectorAll("[role=option]")[active].click(); // a page may do something else with a game
    } else if (event.key === "Escape") {
      if (list.hidden) input.value = "";
      close();
      event.preventDefault();
    }
  });
  input.addEventListener("blur", close);
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the box keeps the focus
  addEventListener("pagehide", close); // or it would be open when the reader comes back
  for (const event of ["resize", "scroll"]) visualViewport?.addEventListener(event, fit);

  async function ask() {
    const query = input.value.trim();
    request?.abort();
    if (!query) {
      close();
      return;
    }
    request = new AbortController();
    try {
      const answer = await fetch(`/suggest?q=${encodeURIComponent(query)}`, { signal: request.signal });
      if (answer.ok && input.value.trim() === query) show(await answer.json(), query);
    } catch (error) {
      if (error.name !== "AbortError") close(); // the form still works: Enter leads to the results page
    }
  }

  function show(found, query) {
    const before = suggestions[active]?.url; // chosen while this answer was on its way
    suggestions = [...found.suggestions];
    const counts = new Map();
    for (const { name } of suggestions) counts.set(name, (counts.get(name) ?? 0) + 1);
    list.replaceChildren(
      ...suggestions.map((suggestion, index) => option(suggestion, index, query, counts.get(suggestion.name) > 1)),
    );
    if (found.hidden && !adds) {
      offer({ url: `/search?q=${encodeURIComponent(query)}` }, `See all ${found.shown_total} results`);
    }
    if (takesWords) offer({ url: `/mix?text=${encodeURIComponent(query)}`, name: query }, `Covers that look like “${query}”`);
    if (!suggestions.length) {
      close(); // which makes nothing active
      note.hidden = false;
      status.textContent = note.textContent;
      return;
    }
    note.hidden = true;
    list.hidden = false;
    fit();
    input.setAttribute("aria-expanded", String(suggestions.length > 0));
    activate(suggestions.findIndex(({ url }) => url === before));
    const listed = found.suggestions.length;
    status.textContent =
      `${listed} suggestion${listed === 1 ? "" : "s"}${found.hidden ? ` of ${found.shown_total} results` : ""}`;
  }

  // One more option, below the games.
  function offer(suggestion, text) {
    const entry = item(suggestion, suggestions.length);
    entry.classList.add("suggestions-note");
    entry.textContent = text;
    list.append(entry);
    suggestions.push(suggestion);
  }

  // Into the box; the buttons beside it say what becomes of it.
  function choose({ appid, name }) {
    input.value = name;
    chosen.value = appid ?? "words";
    close();
  }

  // An option is a link: it can be opened in a new tab as any other.
  function item(suggestion, index) {
    const attributes = { href: suggestion.url, tabindex: "-1", role: "option", "aria-selected": "false" };
    const entry = make("a", { id: `${id}-${index}`, ...attributes });
    entry.addEventListener("pointermove", () => activate(index, false));
    if (adds) {
      entry.addEventListener("click", (event) => {
        event.preventDefault();
        choose(suggestion);
      });
    }
    return entry;
  }

  function option(suggestion, index, query, isAmbiguous) {
    const { appid, name, thumbnail, is_adult: isAdult } = suggestion;
    const entry = item(suggestion, index);
    const picture = make("span", { class: isAdult ? "art art-adult" : "art" });
    if (thumbnail) picture.append(make("img", { src: thumbnail, alt: "" }));
    entry.append(picture, make("bdi", {}, ...marked(name, query)));
    if (isAmbiguous) entry.append(make("span", { class: "suggestions-appid" }, String(appid)));
    return entry;
  }

  function activate(index, isToBeSeen = true) {
    if (!suggestions.length || list.hidden) return;
    // Past either end lies the box itself, with what was typed.
    active = ((index + 1 + suggestions.length + 1) % (suggestions.length + 1)) - 1;
    for (const [position, entry] of [...list.querySelectorAll("[role=option]")].entries()) {
      entry.setAttribute("aria-selected", String(position === active));
      if (position === active && isToBeSeen) entry.scrollIntoView({ block: "nearest" });
    }
    if (active >= 0) input.setAttribute("aria-activedescendant", `${id}-${active}`);
    else input.removeAttribute("aria-activedescendant");
  }

  // As tall as there is room for, above a keyboard on the screen too.
  function fit() {
    if (list.hidden) return;
    const bottom = (visualViewport?.offsetTop ?? 0) + (visualViewport?.height ?? innerHeight);
    const top = list.getBoundingClientRect().top;
    const room = Math.max(160, Math.min(bottom - top - 12, 640));
    list.style.maxHeight = "none"; // to end below a whole row
    const ends = [...list.children].map((entry) => entry.getBoundingClientRect().bottom - top + 6);
    list.style.maxHeight = `${Math.max(ends[0] ?? room, ...ends.filter((end) => end <= room))}px`;
  }

  function close() {
    clearTimeout(timer);
    request?.abort();
    list.hidden = note.hidden = true;
    status.textContent = "";
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
}

// The name as text nodes, with what was typed in bold where a word begins with it.
function marked(name, query) {
  const words = query.split(/\s+/).filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  if (!words.length) return [name];
  const parts = name.split(new RegExp(`(?<![\\p{L}\\p{N}])(${words.join("|")})`, "giu"));
  return parts.map((part, index) => (index % 2 ? make("b", {}, part) : part));
}

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  change(element, attributes);
  element.append(...children);
  return element;
}

function change(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}
