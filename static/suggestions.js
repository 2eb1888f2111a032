// Suggestions: the WAI-ARIA editable combobox with list autocomplete and manual selection.
"use strict";

const PAUSE = 90; // milliseconds of rest before a keystroke is worth a request

for (const field of document.querySelectorAll("[data-suggest]")) attach(field);

function attach(field) {
  const input = field.querySelector("input");
  const chosen = document.createElement("input"); // what is added to a query: an appid, or the words that were typed
  const adds = input.name === "add"; // instead of leading to a game's page
  const takesWords = "words" in field.dataset;
  const list = document.createElement("div");
  const status = document.createElement("p");
  const note = document.createElement("p"); // a list without an option is none
  let suggestions = [];
  let active = -1;
  let timer = 0;
  let request = null;

  list.id = `${input.id}-list`;
  list.className = "suggestions";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Suggested games");
  list.hidden = true;
  status.className = "hidden";
  status.setAttribute("role", "status");
  note.className = "suggestions suggestions-note";
  note.setAttribute("aria-hidden", "true"); // the status says it
  note.textContent = "No game has a name like this";
  note.hidden = true;
  chosen.type = "hidden";
  chosen.name = "chosen";
  field.append(list, note, status, ...(adds ? [chosen] : []));
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-expanded", "false");
  input.setAttribute("aria-controls", list.id);

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
      else location.assign(suggestions[active].url);
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
      const all = `See all ${(found.hidden + suggestions.length).toLocaleString("en")} results`;
      offer({ url: `/search?q=${encodeURIComponent(query)}` }, all);
    }
    if (takesWords) offer({ url: `/mix?text=${encodeURIComponent(query)}`, name: query }, `Banners that look like “${query}”`);
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
      `${listed} suggestion${listed === 1 ? "" : "s"}${found.hidden ? `, ${found.hidden} results not shown` : ""}`;
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
    const entry = document.createElement("a");
    entry.href = suggestion.url;
    entry.tabIndex = -1;
    entry.id = `${list.id}-${index}`;
    entry.setAttribute("role", "option");
    entry.setAttribute("aria-selected", "false");
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
    const picture = document.createElement("span");
    picture.className = isAdult ? "art art-adult" : "art";
    if (thumbnail) {
      const img = document.createElement("img");
      img.src = thumbnail;
      img.alt = "";
      picture.append(img);
    }
    const label = document.createElement("bdi");
    label.append(...marked(name, query));
    entry.append(picture, label);
    if (isAmbiguous) {
      const number = document.createElement("span");
      number.className = "suggestions-appid";
      number.textContent = String(appid);
      entry.append(number);
    }
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
    if (active >= 0) input.setAttribute("aria-activedescendant", `${list.id}-${active}`);
    else input.removeAttribute("aria-activedescendant");
  }

  // As tall as there is room for, above a keyboard on the screen too.
  function fit() {
    if (list.hidden) return;
    const bottom = (visualViewport?.offsetTop ?? 0) + (visualViewport?.height ?? innerHeight);
    const room = Math.max(160, bottom - list.getBoundingClientRect().top - 12);
    list.style.maxHeight = `min(${room}px, 40rem)`;
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
  return name.split(new RegExp(`(?<![\\p{L}\\p{N}])(${words.join("|")})`, "giu")).map((part, index) => {
    if (index % 2 === 0) return part;
    const bold = document.createElement("b");
    bold.textContent = part;
    return bold;
  });
}
