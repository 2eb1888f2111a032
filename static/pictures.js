// A cover may be dropped or pasted on any page; choosing one is enough. Without this the form works as a form. A small
// copy of it stays in this tab, to be shown beside its look-alikes; the server has none.
"use strict";

(() => {
  const MOST_BYTES = 10_000_000;
  const MOST_PIXELS = 9_000_000; // as webapp/queries/uploads.py
  const LONGEST = 1500; // pixels of a side, of a picture that is made smaller
  const takesPictures = document.querySelector(".pages a[href='/upload']");
  const form = document.querySelector("[data-upload]") ?? (takesPictures && hiddenForm());
  showChosen();
  if (!form) return;
  const input = form.querySelector("input[type=file]");
  const status = form.querySelector("[role=alert]");
  const say = (text) => (status ? (status.textContent = text) : reader.toast(text));

  // On other pages there is a form that nobody sees.
  function hiddenForm() {
    const made = make("form", { class: "hidden", action: "/upload", method: "post", enctype: "multipart/form-data" });
    made.append(make("input", { type: "file", name: "picture", tabindex: "-1", "aria-hidden": "true" }));
    document.body.append(made);
    return made;
  }

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
    const url = drawn(bitmap, 320).toDataURL("image/jpeg", 0.8);
    sessionStorage.setItem("picture", JSON.stringify({ url, isNew: true }));
    if (file.size <= MOST_BYTES && bitmap.width * bitmap.height <= MOST_PIXELS) return;
    const canvas = drawn(bitmap, LONGEST);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    choose(new File([blob], "picture.jpg", { type: "image/jpeg" }));
  }

  async function send() {
    if (!input.files[0]) return;
    say("Looking …");
    await prepare(input.files[0]).catch(() => {}); // the browser cannot decode it, or keeps nothing
    if (input.files[0].size > MOST_BYTES) {
      say("A picture may be at most 10 MB. Make it smaller: 600x900 is enough.");
      return;
    }
    form.requestSubmit();
  }

  input.addEventListener("change", send);
  document.addEventListener("paste", (event) => {
    const isText = event.clipboardData?.types.includes("text/plain"); // of a table, which has a picture of it too
    if (isText && event.target.closest?.("input, textarea")) return;
    if (take(event.clipboardData?.files)) event.preventDefault();
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      document.body.classList.toggle("is-over", kind === "dragover");
      if (kind === "drop" && !take(event.dataTransfer.files)) {
        say("That is no picture. A JPEG, PNG or WebP, please.");
      }
    });
  }
  addEventListener("pageshow", (event) => event.persisted && status && (status.textContent = ""));

  // The reader's cover, beside its look-alikes. The first result after an upload is its own; its address is how it is
  // known again.
  async function showChosen() {
    const part = document.querySelector("[data-picture]");
    try {
      const kept = JSON.parse(sessionStorage.getItem("picture"));
      if (kept?.isNew && part) kept.of = part.dataset.picture;
      else if (kept?.isNew) sessionStorage.removeItem("picture"); // it was refused
      if (!part || kept?.of !== part.dataset.picture) return;
      sessionStorage.setItem("picture", JSON.stringify({ url: kept.url, of: kept.of }));
      const bytes = Uint8Array.from(atob(kept.url.split(",")[1]), (letter) => letter.charCodeAt(0));
      const canvas = drawn(await createImageBitmap(new Blob([bytes], { type: "image/jpeg" })), 320);
      canvas.setAttribute("aria-hidden", "true");
      part.prepend(canvas);
    } catch {
      // A tab that keeps nothing shows the part without it.
    }
  }
})();
