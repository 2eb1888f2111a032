// The reader's own covers on the pages about them: drawn where the page has a place for them, side by side as drafts, cut
// to the shape of covers, and searched by a part. Boxes on any cover are drawn here too.
"use strict";

(() => {
  const own = document.querySelector(".own");
  const places = [...document.querySelectorAll("[data-draft]")];
  // Width by height of this site's covers.
  function aspect() {
    const [width, height] = getComputedStyle(document.documentElement).getPropertyValue("--aspect").split("/").map(Number);
    return width / height;
  }

  // -- the draft of this page --

  async function show() {
    const all = await drafts.all();
    const newest = Number(sessionStorage.getItem("draft"));
    // Only the page that a picture was just sent to is about it, not one that is opened later.
    const isJustSent = sessionStorage.getItem("sent") === "1";
    sessionStorage.removeItem("sent");
    const last = all.find((one) => one.id === newest) ?? (document.querySelector("[data-again]") ? all.at(-1) : undefined);
    if (last && !last.address && document.querySelector(".complaint:not(:empty)")) await drafts.remove(last.id); // refused
    let draft = all.find((one) => own && one.picture === own.dataset.picture);
    if (isJustSent || !own) draft ??= last && !(own && last.picture) ? last : undefined;
    if (own && draft) {
      const { picture, sentence, percent } = own.dataset;
      Object.assign(draft, { picture, sentence, percent, address: location.pathname + location.search });
      await drafts.put(draft);
      sessionStorage.setItem("draft", draft.id);
    }
    list(all.filter((one) => one.address), draft);
    const again = document.querySelector("[data-again]");
    if (again && last) {
      again.classList.remove("is-waiting");
      again.addEventListener("click", () => post(again.dataset.again, last.blob), { once: true });
    }
    if (!draft) return;
    const verdict = document.querySelector("[data-verdict]");
    if (verdict && draft.address) {
      verdict.href = draft.address;
      verdict.classList.remove("is-waiting");
    }
    const bitmap = await createImageBitmap(draft.blob);
    for (const place of places) {
      const canvas = pictures.drawn(bitmap, place.closest(".shelf") ? 450 : 900);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", "Your cover");
      place.replaceChildren(canvas);
    }
    for (const button of document.querySelectorAll("[data-crop], [data-draw]")) button.classList.remove("is-waiting");
    document.querySelector("[data-crop]")?.addEventListener("click", (event) => crop(event.target, draft, bitmap), { once: true });
    document.querySelector("[data-draw]")?.addEventListener("click", (event) => drawPart(event.target, draft), { once: true });
    sendInstead(draft);
  }

  // Comparing with a cover of one's own sends it again: the server does not have it.
  function sendInstead(draft) {
    document.addEventListener("click", (event) => {
      const link = event.target.closest('a[href^="/compare/cover/"]');
      if (!link || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      post(link.getAttribute("href"), draft.blob);
    });
  }

  function post(action, blob) {
    const form = make("form", { class: "hidden", method: "post", enctype: "multipart/form-data", action });
    const input = make("input", { type: "file", name: "picture" });
    const chosen = new DataTransfer();
    chosen.items.add(new File([blob], "picture", { type: blob.type || "image/jpeg" }));
    input.files = chosen.files;
    form.append(input);
    document.body.append(form);
    form.submit();
  }

  // -- drafts side by side --

  async function list(all, current) {
    const row = document.querySelector("[data-drafts]");
    if (!row) return;
    row.replaceChildren();
    for (const [place, draft] of all.sort((one, other) => one.id - other.id).entries()) {
      const isCurrent = draft.id === current?.id;
      const link = make("a", { href: draft.address, title: draft.sentence });
      if (isCurrent) link.setAttribute("aria-current", "page");
      const canvas = await createImageBitmap(draft.blob).then((bitmap) => pictures.drawn(bitmap, 160), () => make("span", {}));
      const label = draft.percent ? `${draft.percent} %` : "–";
      link.append(canvas, make("span", { class: "hidden" }, `Draft ${place + 1}: ${draft.sentence}, `), make("span", {}, label));
      const off = make("button", { type: "button", class: "draft-off", "aria-label": `Remove draft ${place + 1}` }, "×");
      off.addEventListener("click", async () => {
        await drafts.remove(draft.id);
        list((await drafts.all()).filter((one) => one.address), current);
      });
      row.append(make("li", { class: "draft" }, link, off));
    }
    if (own && all.length < drafts.MOST) {
      const input = make("input", { type: "file", accept: "image/jpeg,image/png,image/webp", class: "hidden" });
      input.addEventListener("change", () => pictures.take(input.files));
      row.append(make("li", { class: "draft draft-add" }, make("label", {}, input, make("span", { "aria-hidden": "true" }, "+"), make("span", {}, "draft"))));
    }
  }

  // -- a box on a cover --

  // Draw, move and resize a box in `frame` by mouse, finger or keys. `ratio` is its width by its height, in pixels, if it
  // is fixed. `onChange` gets fractions: x, y, width, height.
  function boxOn(frame, box, ratio, onChange) {
    const layer = make("div", { class: "drawing", tabindex: "0", role: "application", "aria-label": "A box on the cover. Arrow keys move it, with Shift they change its size." });
    const ns = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(ns, "svg");
    svg.setAttribute("class", "boxes");
    svg.setAttribute("viewBox", "0 0 1 1");
    svg.setAttribute("preserveAspectRatio", "none");
    const rect = document.createElementNS(ns, "rect");
    rect.setAttribute("class", "box-1");
    svg.append(rect);
    layer.append(svg);
    frame.parentElement.querySelector(".boxes")?.remove();
    frame.append(layer);
    const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

    function set(next) {
      const width = clamp(next[2], 0.03, 1);
      const height = clamp(next[3], 0.03, 1);
      box = [clamp(next[0], 0, 1 - width), clamp(next[1], 0, 1 - height), width, height];
      ["x", "y", "width", "height"].forEach((name, place) => rect.setAttribute(name, box[place]));
      onChange(box);
    }

    const at = (event) => {
      const room = layer.getBoundingClientRect();
      return [(event.clientX - room.left) / room.width, (event.clientY - room.top) / room.height];
    };
    let start = null;
    layer.addEventListener("pointerdown", (event) => {
      const [x, y] = at(event);
      const isInside = x > box[0] && x < box[0] + box[2] && y > box[1] && y < box[1] + box[3];
      start = { x, y, box: [...box], moves: Boolean(ratio) || (isInside && event.pointerType !== "mouse" && box[2] * box[3] < 0.2) };
      layer.setPointerCapture(event.pointerId);
      event.preventDefault();
      layer.focus();
    });
    layer.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [x, y] = at(event).map((value) => clamp(value, 0, 1));
      if (start.moves) set([start.box[0] + x - start.x, start.box[1] + y - start.y, box[2], box[3]]);
      else set([Math.min(x, start.x), Math.min(y, start.y), Math.abs(x - start.x), Math.abs(y - start.y)]);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      layer.addEventListener(kind, () => {
        if (start && !start.moves && box[2] < 0.06 && box[3] < 0.06) set(start.box); // a click
        start = null;
      });
    }
    layer.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      event.stopPropagation();
      const [x, y, width, height] = box;
      if (!event.shiftKey) set([x + 0.02 * step[0], y + 0.02 * step[1], width, height]);
      else if (ratio) {
        const scale = step[0] + step[1] > 0 ? 1.05 : 1 / 1.05;
        const most = Math.min(scale, 1 / width, 1 / height);
        set([x, y, width * most, height * most]);
      } else set([x, y, width + 0.02 * step[0], height + 0.02 * step[1]]);
    });
    set(box);
    return layer;
  }

  const shown = (box) => box.map((value) => String(Math.round(1000 * value) / 1000)).join(",");

  // -- cutting a picture to the shape of covers --

  function crop(button, draft, bitmap) {
    const frame = document.querySelector(".own-art .art");
    frame.classList.add("own-whole");
    frame.append(make("span", { class: "crop-note" }, "Move the frame; Shift and the arrow keys change its size."));
    const { width, height } = bitmap;
    const own = Math.min(width, height * aspect());
    const size = [own / width, own / aspect() / height];
    let chosen = null;
    const layer = boxOn(frame, [(1 - size[0]) / 2, (1 - size[1]) / 2, ...size], aspect(), (box) => (chosen = box));
    layer.focus();
    button.textContent = "See the verdict";
    button.addEventListener("click", async () => {
      const canvas = document.createElement("canvas");
      canvas.width = Math.max(1, Math.round(chosen[2] * width));
      canvas.height = Math.max(1, Math.round(chosen[3] * height));
      canvas.getContext("2d").drawImage(bitmap, -chosen[0] * width, -chosen[1] * height);
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
      await drafts.remove(draft.id);
      pictures.take([new File([blob], "picture.jpg", { type: "image/jpeg" })]);
    });
  }

  // -- a part of a cover --

  function drawPart(button, draft) {
    let chosen = null;
    boxOn(document.querySelector(".own-art .art"), [0.2, 0.1, 0.6, 0.3], 0, (box) => (chosen = box)).focus();
    button.textContent = "Find what is in the box";
    button.addEventListener("click", () => post(`/parts?box=${shown(chosen)}`, draft.blob));
  }

  const part = document.querySelector(".part-art:not([data-of-part])");
  if (part) {
    const input = document.querySelector("#box");
    boxOn(part.querySelector(".art"), part.dataset.box.split(",").map(Number), 0, (box) => (input.value = shown(box)));
    part.addEventListener("keydown", (event) => event.key === "Enter" && input.form.requestSubmit());
  }

  // -- two covers --

  const compare = document.querySelector("[data-compare]");
  if (compare) {
    const light = (region) => {
      for (const one of document.querySelectorAll("[data-region]")) one.classList.toggle("is-lit", one.dataset.region === region);
      compare.classList.toggle("has-lit", Boolean(region));
    };
    for (const kind of ["pointerover", "focusin"]) {
      document.querySelector(".compare-page").addEventListener(kind, (event) => light(event.target.closest("[data-region]")?.dataset.region));
    }
    const button = document.querySelector("[data-flip]");
    const flip = () => {
      const isOver = compare.classList.contains("is-flipped");
      const isSecond = compare.classList.contains("is-second");
      compare.classList.toggle("is-flipped", !(isOver && isSecond));
      compare.classList.toggle("is-second", isOver && !isSecond);
      button.setAttribute("aria-pressed", String(!(isOver && isSecond)));
      button.textContent = !isOver ? "First shown" : isSecond ? "Flip" : "Second shown";
      if (!isOver) compare.scrollIntoView({ block: "nearest" });
    };
    button.addEventListener("click", flip);
    compare.addEventListener("click", (event) => {
      if (!compare.classList.contains("is-flipped") || event.target.closest("a")) return;
      flip();
    });
    const bare = document.querySelector("[data-bare]");
    bare?.addEventListener("click", () => {
      compare.classList.remove("is-bare");
      bare.remove();
    });
    document.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea")) return;
      if (event.key === "f" && !localStorage.getItem("keys-off")) flip();
      const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
      const link = rel && document.querySelector(`.comparison [rel~=${rel}]`);
      if (!link) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      location.replace(link.href);
    }, true);
  }

  show().catch(() => {}); // a browser that keeps nothing shows the pages without it
})();
