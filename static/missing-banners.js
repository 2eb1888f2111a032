// A banner that cannot be loaded is looked for in its plain size, then under the name that Steam gave banners before. In
// the end its title takes its place.
"use strict";

function tryNext(image) {
  const isLarger = image.srcset && image.currentSrc !== image.src;
  image.removeAttribute("srcset");
  if (isLarger) return; // not every banner exists in twice its size
  const [, folder, name] = /^(https:\/\/.+\/apps\/\d+\/)(.+)$/.exec(image.src) ?? [];
  const isUpright = Number(image.getAttribute("width")) < Number(image.getAttribute("height"));
  if (folder && isUpright && name === "library_600x900.jpg") {
    image.classList.add("is-header");
    image.src = `${folder}header.jpg`;
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
