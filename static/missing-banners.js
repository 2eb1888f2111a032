// A banner that cannot be loaded is looked for in its plain size, then under the names that Steam gave banners before: the
// upright one, the header. In the end its title takes its place.
"use strict";

function tryNext(image) {
  const isLarger = image.srcset && image.currentSrc !== image.src;
  image.removeAttribute("srcset");
  if (isLarger) return; // not every banner exists in twice its size
  const [, folder, name] = /^(https?:\/\/.+\/\d+\/)([^?]+)/.exec(image.src) ?? [];
  const isUpright = Number(image.getAttribute("width")) < Number(image.getAttribute("height"));
  const names = isUpright ? ["library_600x900.jpg", "header.jpg"] : ["header.jpg"];
  const next = names[names.indexOf(name) + 1];
  if (folder && next && !image.src.startsWith(location.origin)) {
    image.classList.toggle("is-header", isUpright && next === "header.jpg");
    image.src = `${folder}${next}`;
    return;
  }
  const title = document.createElement("span");
  title.className = "art-title";
  title.setAttribute("aria-hidden", "true");
  title.textContent = image.dataset.title;
  image.replaceWith(title);
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
