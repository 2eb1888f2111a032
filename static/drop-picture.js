// A picture may be dropped or pasted anywhere on the page; choosing one is enough. Without this the form works as a form.
// A small copy of it stays in this tab, to be shown beside what was found (chosen-picture.js).
"use strict";

(() => {
  const form = document.querySelector("[data-upload]");
  const input = form.querySelector("input[type=file]");
  const status = form.querySelector("[role=alert]");
  const MOST_BYTES = 10_000_000;
  const MOST_PIXELS = 9_000_000; // as webapp/queries/uploads.py
  const LONGEST = 1500; // pixels of a side, of a picture that is made smaller

  function take(files) {
    const file = [...(files ?? [])].find((one) => one.type.startsWith("image/"));
    if (!file) return false;
    choose(file);
    send();
    return true;
  }

  function choose(file) {
    const chosen = new DataTransfer();
    chosen.items.add(file);
    input.files = chosen.files; // which sends no event
  }

  function drawn(bitmap, longest) {
    const scale = Math.min(1, longest / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, bitmap.width * scale);
    canvas.height = Math.max(1, bitmap.height * scale);
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  // A small copy in this tab; and a picture that is too large for the server is made smaller.
  async function prepare(file) {
    sessionStorage.removeItem("picture");
    const bitmap = await createImageBitmap(file);
    const url = drawn(bitmap, 160).toDataURL("image/jpeg", 0.8);
    sessionStorage.setItem("picture", JSON.stringify({ url }));
    if (file.size <= MOST_BYTES && bitmap.width * bitmap.height <= MOST_PIXELS) return;
    const canvas = drawn(bitmap, LONGEST);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    choose(new File([blob], "picture.jpg", { type: "image/jpeg" }));
  }

  async function send() {
    if (!input.files[0]) return;
    status.textContent = "Looking …";
    await prepare(input.files[0]).catch(() => {}); // the browser cannot decode it, or keeps nothing
    if (input.files[0].size > MOST_BYTES) {
      status.textContent = "A picture may be at most 10 MB. Make it smaller: 600x900 is enough.";
      return;
    }
    form.requestSubmit();
  }

  input.addEventListener("change", send);
  document.addEventListener("paste", (event) => {
    if (take(event.clipboardData?.files)) event.preventDefault();
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      form.classList.toggle("is-over", kind === "dragover");
      if (kind === "drop" && !take(event.dataTransfer.files)) {
        status.textContent = "That is no picture. A JPEG, PNG or WebP, please.";
      }
    });
  }
  addEventListener("pageshow", (event) => event.persisted && (status.textContent = ""));
})();
