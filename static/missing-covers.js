// A cover that cannot be loaded is looked for in its plain size, then under the names that Steam gave covers before: the
// upright one, the header. In the end its name takes its place.
"use strict";

function tryNext(image) {
  const isLarger = image.srcset && image.currentSrc !== image.src;
  image.removeAttribute("srcset");
  if (isLarger) return; // not every cover exists in twice its size
  const [, folder, name] = /^(https?:\/\/.+\/\d+\/)([^?]+)/.exec(image.src) ?? [];
  const isUpright = Number(image.getAttribute("width")) < Number(image.getAttribute("height"));
  const names = isUpright ? ["library_600x900.jpg", "header.jpg"] : ["header.jpg"];
  const next = names[names.indexOf(name) + 1];
  if (folder && next && !image.src.startsWith(location.origin)) {
    image.classList.toggle("is-header", isUpright && next === "header.jpg");
    image.src = `${folder}${next}`;
    return;
  }
  const { title = "" } = image.dataset;
  const substitute = document.createElement("span");
  const hue = [...title].reduce((sum, letter) => sum + letter.codePointAt(0), 0) % 6; // as webapp/records.py
  substitute.className = `art-title hue-${hue}`;
  substitute.setAttribute("aria-hidden", "true");
  substitute.textContent = title;
  image.replaceWith(substitute);
}

// Errors of images do not bubble, so they are listened for on their way down.
document.addEventListener(
  "error",
  (event) => {
    if (event.target instanceof HTMLImageElement && event.target.closest(".art")) tryNext(event.target);
  },
  true,
);

for (const image of document.querySelectorAll(".art img")) {
  if (image.complete && image.naturalWidth === 0) tryNext(image); // it failed before this script ran
}
