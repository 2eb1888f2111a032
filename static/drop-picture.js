// A picture may be dropped or pasted anywhere on the page; choosing one is enough. Without this the form works as a form.
// A small copy of it stays in this tab, to be shown beside what was found (chosen-picture.js).
"use strict";

(() => {
  const form = document.querySelector("[data-upload]");
  const input = form.querySelector("input[type=file]");
  const status = form.querySelector("[role=alert]");
  const MOST = 10_000_000;

  function take(files) {
    const file = [...(files ?? [])].find((one) => one.type.startsWith("image/"));
    if (!file) return false;
    const chosen = new DataTransfer();
    chosen.items.add(file);
    input.files = chosen.files;
    send();
    return true;
  }

  async function keep(file) {
    sessionStorage.removeItem("picture");
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, 160 / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, bitmap.width * scale);
    canvas.height = Math.max(1, bitmap.height * scale);
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    sessionStorage.setItem("picture", JSON.stringify({ url: canvas.toDataURL("image/jpeg", 0.8) }));
  }

  async function send() {
    const file = input.files[0];
    if (!file) return;
    if (file.size > MOST) {
      status.textContent = "That picture has more than 10 MB.";
      return;
    }
    status.textContent = "Looking …";
    await keep(file).catch(() => {}); // the browser cannot decode it, or keeps nothing
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
