// The board: its covers are moved by dragging or with Shift and the arrow keys, and taken off. The address follows; if it
// is the reader's own board ("#mine"), so does what the browser keeps.
"use strict";

(() => {
  const board = document.querySelector(".board");
  const mine = reader.saved();
  const asked = new URLSearchParams(location.search).getAll("game").map(Number);
  const isMine = location.hash === "#mine" && String(asked) === String(mine); // or somebody sent that address
  if (!board) {
    if (mine.length && !location.search) location.replace(reader.ownBoard());
    return;
  }

  const appids = () => [...board.children].map((card) => Number(card.dataset.appid));

  // Keep the games that another tab saved meanwhile, and those that this catalogue lacks.
  function changed(takenOff) {
    const chosen = appids();
    const saved = reader.saved();
    const others = saved.filter((appid) => !chosen.includes(appid) && appid !== takenOff);
    if (isMine) reader.save([...chosen.filter((appid) => saved.includes(appid)), ...others]);
    const address = chosen.length ? reader.boardAddress(chosen, new URLSearchParams(location.search).get("name") ?? "") : "/board";
    history.replaceState(history.state, "", address + (isMine ? "#mine" : ""));
    for (const field of document.querySelectorAll("#rename [name=game]")) field.remove();
    document.querySelector("#rename").prepend(...chosen.map((appid) => make("input", { type: "hidden", name: "game", value: appid })));
    if (!chosen.length) location.reload();
  }

  if (isMine && !new URLSearchParams(location.search).get("name")) document.querySelector("h1").textContent = "Saved games";
  board.classList.toggle("is-mine", isMine);
  addEventListener("hashchange", () => location.reload());
  const all = document.querySelector("[data-save-all]");
  all.classList.toggle("is-off", isMine || appids().every((appid) => mine.includes(appid)));
  all.addEventListener("click", () => {
    reader.save([...reader.saved(), ...appids()]);
    all.classList.toggle("is-off", appids().every((appid) => reader.saved().includes(appid)));
  });
  if (isMine) {
    document.querySelector("#rename").addEventListener("submit", (event) => {
      event.target.action = "/board#mine";
      reader.rename(document.querySelector("#board-name").value);
    });
  }

  let dragged = null;
  for (const card of board.children) {
    card.draggable = true;
    const name = card.querySelector(".name bdi").textContent;
    const off = make("button", { type: "button", class: "off", "aria-label": `Take off: ${name}` }, "×");
    off.addEventListener("click", () => {
      const next = card.nextElementSibling ?? card.previousElementSibling;
      card.remove();
      changed(Number(card.dataset.appid));
      next?.querySelector(".name a").focus();
    });
    const sides = [["‹", "Move left", -1], ["›", "Move right", 1]].map(([sign, label, step]) => {
      const button = make("button", { type: "button", "aria-label": `${label}: ${name}` }, sign);
      button.addEventListener("click", () => move(card, step));
      return button;
    });
    card.querySelector(".cover").append(off, make("span", { class: "move" }, ...sides));
    card.addEventListener("dragstart", (event) => {
      dragged = card;
      event.dataTransfer.effectAllowed = "move";
      card.classList.add("is-moved");
    });
    card.addEventListener("dragend", () => {
      card.classList.remove("is-moved");
      dragged = null;
      changed();
    });
    card.addEventListener("dragover", (event) => {
      if (!dragged || dragged === card) return;
      event.preventDefault();
      const cards = [...board.children];
      if (cards.indexOf(dragged) < cards.indexOf(card)) card.after(dragged);
      else card.before(dragged);
    });
  }

  document.addEventListener("keydown", (event) => {
    const card = document.activeElement?.closest(".board .card");
    if (card && event.key === "Delete") card.querySelector(".off").click();
    if (!card || !event.shiftKey || !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    move(card, event.key === "ArrowLeft" || event.key === "ArrowUp" ? -1 : 1);
    card.querySelector(".name a").focus();
  });

  function move(card, step) {
    if (step < 0) card.previousElementSibling?.before(card);
    else card.nextElementSibling?.after(card);
    changed();
  }
})();
