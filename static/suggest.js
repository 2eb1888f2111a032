// Suggestions under the search box: the WAI-ARIA editable combobox with list autocomplete and manual selection.
"use strict";

const PAUSE = 90; // milliseconds of rest before a keystroke is worth a request

for (const form of document.querySelectorAll("[data-suggest]")) attach(form);

function attach(form) {
  const input = form.querySelector("input[name=q]");
  const list = document.createElement("ul");
  const status = document.createElement("p");
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
  form.append(list, status);
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-expanded", "false");
  input.setAttribute("aria-controls", list.id);

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return; // Enter and arrows belong to the input method
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (list.hidden) ask();
      else activate(active + step);
    } else if (event.key === "Enter" && !list.hidden && active >= 0) {
      event.preventDefault();
      location.assign(suggestions[active].url);
    } else if (event.key === "Escape") {
      if (list.hidden) input.value = "";
      close();
      event.preventDefault();
    }
  });
  form.addEventListener("focusout", (event) => {
    if (!form.contains(event.relatedTarget)) close();
  });
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the box keeps the focus

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
    suggestions = found.suggestions;
    active = -1;
    const counts = new Map();
    for (const { name } of suggestions) counts.set(name, (counts.get(name) ?? 0) + 1);
    list.replaceChildren(
      ...suggestions.map((suggestion, index) => option(suggestion, index, query, counts.get(suggestion.name) > 1)),
    );
    if (found.hidden) {
      const all = document.createElement("li");
      all.id = `${list.id}-${suggestions.length}`;
      all.className = "suggestions-note";
      all.setAttribute("role", "option");
      all.setAttribute("aria-selected", "false");
      all.textContent = `See all ${(found.hidden + suggestions.length).toLocaleString("en")} results`;
      const url = `/search?q=${encodeURIComponent(query)}`;
      all.addEventListener("click", () => location.assign(url));
      list.append(all);
      suggestions = [...suggestions, { url }];
    } else if (!suggestions.length) {
      const note = document.createElement("li");
      note.className = "suggestions-note";
      note.setAttribute("role", "presentation");
      note.textContent = "No results found";
      list.append(note);
    }
    list.hidden = false;
    input.setAttribute("aria-expanded", String(suggestions.length > 0));
    input.removeAttribute("aria-activedescendant");
    const listed = found.suggestions.length;
    status.textContent = listed
      ? `${listed} suggestion${listed === 1 ? "" : "s"}${found.hidden ? `, ${found.hidden} results not shown` : ""}`
      : "No results found";
  }

  function option({ appid, name, url, image, is_adult: isAdult }, index, query, isAmbiguous) {
    const item = document.createElement("li");
    item.id = `${list.id}-${index}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", "false");
    const picture = document.createElement("span");
    picture.className = isAdult ? "art art-adult" : "art";
    if (image) {
      const img = document.createElement("img");
      img.src = image;
      img.alt = "";
      picture.append(img);
    }
    const label = document.createElement("bdi");
    label.append(...marked(name, query));
    item.append(picture, label);
    if (isAmbiguous) {
      const number = document.createElement("span");
      number.className = "suggestions-appid";
      number.textContent = String(appid);
      item.append(number);
    }
    item.addEventListener("click", () => location.assign(url));
    return item;
  }

  function activate(index) {
    if (!suggestions.length) return;
    // Past either end lies the box itself, with what was typed.
    active = ((index + 1 + suggestions.length + 1) % (suggestions.length + 1)) - 1;
    for (const [position, item] of [...list.querySelectorAll("[role=option]")].entries()) {
      item.setAttribute("aria-selected", String(position === active));
      if (position === active) item.scrollIntoView({ block: "nearest" });
    }
    if (active >= 0) input.setAttribute("aria-activedescendant", `${list.id}-${active}`);
    else input.removeAttribute("aria-activedescendant");
  }

  function close() {
    clearTimeout(timer);
    request?.abort();
    list.hidden = true;
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
