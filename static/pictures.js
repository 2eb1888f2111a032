// A cover may be dropped or pasted on any page; choosing one is enough. Without this the form works as a form. Up to four
// drafts stay in this browser, in IndexedDB; the server has none. static/drafts.js shows them.
"use strict";

// What the browser keeps of the reader's own covers: { id, blob, address, picture, sentence, percent }.
const drafts = (() => {
  const MOST = 4;

  function opened() {
    return new Promise((resolve, reject) => {
      const request = indexedDB.open("drafts", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("drafts", { keyPath: "id" });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }

  async function run(mode, act) {
    const db = await opened();
    try {
      return await new Promise((resolve, reject) => {
        const transaction = db.transaction("drafts", mode);
        const request = act(transaction.objectStore("drafts"));
        transaction.oncomplete = () => resolve(request.result);
        transaction.onerror = transaction.onabort = () => reject(transaction.error);
      });
    } finally {
      db.close();
    }
  }

  const all = () => run("readonly", (store) => store.getAll()).catch(() => []); // refused, as in some private windows
  const put = (draft) => run("readwrite", (store) => store.put(draft));
  const remove = (id) => run("readwrite", (store) => store.delete(id));

  // Keep one more; those that were never looked at go first, then the oldest.
  async function add(blob) {
    const others = (await all()).sort((one, other) => Boolean(one.address) - Boolean(other.address) || one.id - other.id);
    for (const { id } of others.slice(0, Math.max(0, others.length - MOST + 1))) await remove(id);
    const draft = { id: Date.now(), blob };
    await put(draft);
    return draft.id;
  }

  return { MOST, all, put, remove, add };
})();

const pictures = (() => {
  const MOST_BYTES = 10_000_000;
  const MOST_PIXELS = 9_000_000; // as webapp/queries/uploads.py
  const LONGEST = 1500; // pixels of a side, of a picture that is made smaller
  const takesPictures = document.querySelector(".pages a[href='/upload']");
  const form = document.querySelector("[data-upload]") ?? (takesPictures && hiddenForm());
  if (!form) return { take: () => false, drawn };
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

  // Keep a draft; and a picture that is too large for the server is made smaller.
  async function prepare(file) {
    sessionStorage.removeItem("draft");
    const bitmap = await createImageBitmap(file);
    if (file.size > MOST_BYTES || bitmap.width * bitmap.height > MOST_PIXELS) {
      const blob = await new Promise((resolve) => drawn(bitmap, LONGEST).toBlob(resolve, "image/jpeg", 0.92));
      choose(new File([blob], "picture.jpg", { type: "image/jpeg" }));
    }
    sessionStorage.setItem("draft", await drafts.add(input.files[0]));
    sessionStorage.setItem("sent", "1");
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

  // The reader's cover among the parts of a mix.
  async function showPart() {
    const part = document.querySelector(".part[data-picture]");
    if (!part) return;
    const newest = Number(sessionStorage.getItem("draft"));
    const draft = (await drafts.all()).find((one) => one.picture === part.dataset.picture || (one.id === newest && !one.picture));
    if (!draft) return;
    await drafts.put({ ...draft, picture: part.dataset.picture });
    const canvas = drawn(await createImageBitmap(draft.blob), 320);
    canvas.setAttribute("aria-hidden", "true");
    part.prepend(canvas);
  }
  showPart().catch(() => {}); // a browser that keeps nothing shows the part without it

  return { take, drawn };
})();
