// A banner that cannot be loaded gives way to the placeholder behind it; its room stays as it was.
"use strict";

function giveWay(image) {
  image.hidden = true;
}

// Errors of images do not bubble, so they are listened for on their way down.
document.addEventListener(
  "error",
  (event) => {
    if (event.target instanceof HTMLImageElement) giveWay(event.target);
  },
  true,
);

for (const image of document.querySelectorAll(".art img")) {
  if (image.complete && image.naturalWidth === 0) giveWay(image); // it failed before this script ran
}
