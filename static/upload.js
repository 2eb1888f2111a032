// A picture may be dropped or pasted anywhere on the page; choosing one is enough. Without this the form works as a form.
"use strict";

(() => {
  const form = document.querySelector("[data-upload]");
  const input = form.querySelector("input[type=file]");
  const status = form.querySelector("[role=status]");
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

  function send() {
    const file = input.files[0];
    if (!file) return;
    if (file.size > MOST) {
      status.textContent = "That picture has more than 10 MB.";
      return;
    }
    status.textContent = "Looking …";
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
      if (kind === "drop") take(event.dataTransfer.files);
    });
  }
  addEventListener("pageshow", () => (status.textContent = ""));
})();
