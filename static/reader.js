// Saved games and the games looked at last. They stay in this browser; only the address of a board names saved games.
// If the browser refuses to store them, they last until the next page.
"use strict";

const reader = (() => {
  const MOST_SAVED = 60; // as webapp/pages/board.py
  const MOST_VISITED = 24;
  const memory = new Map();

  function read(name) {
    try {
      const kept = JSON.parse(localStorage.getItem(name));
      if (Array.isArray(kept)) return kept;
    } catch {
      // Refused, or not ours.
    }
    return memory.get(name) ?? [];
  }

  function write(name, values) {
    memory.set(name, values);
    try {
      localStorage.setItem(name, JSON.stringify(values));
    } catch {
      // Full, or refused.
    }
  }

  const isAppid = (value) => Number.isInteger(value) && value > 0 && value < 2 ** 32;
  const saved = () => read("saved").filter(isAppid).slice(0, MOST_SAVED);

  function save(appids) {
    const all = [...new Set(appids)];
    if (all.length > MOST_SAVED) toast(`${MOST_SAVED} games are saved. Take one off the board first.`);
    write("saved", all.slice(0, MOST_SAVED));
    show();
  }

  // One line at the foot of the window.
  function toast(text) {
    const line = document.querySelector(".toast") ?? make("p", { class: "toast", role: "alert" });
    document.querySelector("main").append(line);
    line.textContent = text;
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => (line.textContent = ""), 6000);
  }

  function toggle(appid) {
    const before = saved();
    save(before.includes(appid) ? before.filter((one) => one !== appid) : [...before, appid]);
  }

  const boardAddress = (appids, name = "") => {
    const query = new URLSearchParams(appids.map((appid) => ["game", appid]));
    if (name) query.set("name", name);
    return `/board?${query}`;
  };

  const ownBoard = () => `${boardAddress(saved(), String(read("board-name")[0] ?? "").slice(0, 60))}#mine`;
  const rename = (name) => write("board-name", [name]);

  // -- hearts --

  function heartsFor(cards) {
    for (const card of cards) {
      const name = card.querySelector(".name bdi").textContent;
      const heart = make("button", { type: "button", class: "heart", "data-save": card.dataset.appid });
      heart.setAttribute("aria-label", `Save ${name}`);
      card.querySelector(".cover").append(heart);
    }
  }

  function show() {
    const appids = saved();
    for (const button of document.querySelectorAll("[data-save]")) {
      const isSaved = appids.includes(Number(button.dataset.save));
      button.setAttribute("aria-pressed", String(isSaved));
      button.textContent = `${isSaved ? "♥" : "♡"}${button.matches(".heart") ? "" : isSaved ? " Saved" : " Save"}`;
    }
    const link = document.querySelector("[data-saved]");
    link.href = appids.length ? ownBoard() : "/board";
    link.toggleAttribute("data-count", appids.length);
    if (appids.length) link.dataset.count = appids.length;
  }

  function decorate() {
    heartsFor(document.querySelectorAll(".card[data-appid]:not(:has(.heart))"));
    show();
  }
  decorate();
  document.addEventListener("cards", decorate);
  addEventListener("storage", show); // another tab's
  addEventListener("pageshow", (event) => event.persisted && show());

  // -- sharing --

  async function share(button) {
    // The page as it is shown; without parameters, its canonical address. On the map the place is in the hash.
    const isMap = location.pathname === "/map";
    const canonical = location.search || isMap ? null : document.querySelector("link[rel=canonical]")?.href;
    const shown = isMap ? location.href : location.href.replace(/#.*/, "");
    const url = new URL(button.dataset.share || canonical || shown, location).href;
    button.dataset.label ??= button.textContent;
    try {
      if (navigator.share && matchMedia("(pointer: coarse)").matches) return await navigator.share({ title: document.title, url });
      await navigator.clipboard.writeText(url);
      button.textContent = "Copied";
    } catch (error) {
      if (error.name === "AbortError") return; // the reader's choice
      prompt("The address of this page", url); // without https there is no clipboard
    }
    setTimeout(() => (button.textContent = button.dataset.label), 2000);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-save], [data-share]");
    if (button?.dataset.save) toggle(Number(button.dataset.save));
    else if (button) share(button);
  });

  // -- games looked at --

  const visit = document.querySelector("[data-visit]")?.dataset;
  const isGame = (one) => one && isAppid(one.appid) && typeof one.name === "string";
  const visited = () => read("visited").filter(isGame).slice(0, MOST_VISITED);
  if (visit) {
    const game = { appid: Number(visit.appid), name: visit.name.slice(0, 100), cover: visit.cover };
    write("visited", [game, ...visited().filter((one) => one.appid !== game.appid)].slice(0, MOST_VISITED));
  }

  document.querySelector("#history").addEventListener("beforetoggle", (event) => {
    const games = visited().filter((one) => one.appid !== Number(visit?.appid));
    if (event.newState !== "open") return;
    if (!games.length) {
      event.target.replaceChildren(make("p", {}, "Nothing yet."));
      return;
    }
    const items = games.map(({ appid, name, cover }) => {
      const art = make("span", { class: "art" });
      if (typeof cover === "string" && cover) art.append(make("img", { src: cover, alt: "", loading: "lazy" }));
      return make("li", {}, make("a", { href: `/render/${appid}` }, art, make("bdi", {}, name)));
    });
    const clear = make("button", { type: "button", class: "button" }, "Clear");
    clear.addEventListener("click", () => {
      write("visited", []);
      event.target.hidePopover();
    });
    event.target.replaceChildren(make("h2", {}, "Games you looked at"), make("ol", { role: "list" }, ...items), clear);
  });

  return { saved, save, boardAddress, ownBoard, rename, toast };
})();
