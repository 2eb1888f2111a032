// The picture that was asked about, beside what was found. This tab kept a small copy of it (drop-picture.js); the server has
// none.
"use strict";

(async () => {
  const chip = document.querySelector("[data-picture]");
  if (!chip) return;
  try {
    const kept = JSON.parse(sessionStorage.getItem("picture"));
    if (!kept) return;
    // The first result after an upload is its own; its address is how it is known again.
    if (!kept.of && new URL(document.referrer).pathname === "/upload") kept.of = chip.dataset.picture;
    if (kept.of !== chip.dataset.picture) return;
    sessionStorage.setItem("picture", JSON.stringify(kept));
    const bytes = Uint8Array.from(atob(kept.url.split(",")[1]), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    canvas.setAttribute("aria-hidden", "true");
    chip.prepend(canvas);
  } catch {
    // A tab that keeps nothing shows the chip without it.
  }
})();
