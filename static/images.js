// A banner that cannot be loaded is looked for under the names that Steam gave banners before, and gives way to the
// placeholder behind it in the end; its room stays as it was.
"use strict";

const UPRIGHT = ["library_600x900.jpg", "header.jpg"];
const WIDE = ["header.jpg"];

function tryNext(image) {
  const [, folder, name] = /^(https:\/\/.+\/apps\/\d+\/)(.+)$/.exec(image.src) ?? [];
  const isWide = Number(image.getAttribute("width")) > Number(image.getAttribute("height"));
  const names = isWide ? WIDE : UPRIGHT;
  const next = folder && names[names.indexOf(name) + 1];
  if (next) {
    image.classList.toggle("is-header", !isWide && next === "header.jpg");
    image.src = folder + next;
  } else {
    image.hidden = true;
  }
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

document.querySelector(".tabs [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
