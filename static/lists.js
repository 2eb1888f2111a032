// The current tab of the walls is in view. A list goes on where its reader comes to its end: with the next pages of a wall, and with what "Show more" shows. The
// links work without this. On the first page, another example takes the place of the one there.
"use strict";

(() => {
  const AUTOMATIC = 4; // pages; then the link waits, so that the foot of the page can be reached
  const list = document.querySelector("[data-list]");
  let isBusy = false;
  let appended = 0;

  const tab = document.querySelector(".tabs [aria-current]");
  const tabs = tab?.parentElement;
  const tabObserver = new IntersectionObserver(([seen]) => { // asking for its place would lay out the page too early
    const { boundingClientRect: place, rootBounds: room } = seen;
    if (room && place.right > room.right) tabs.scrollLeft += place.left + place.width / 2 - room.left - room.width / 2;
    tabObserver.disconnect();
  }, { root: tabs, rootMargin: "0px -32px" }); // beside the end, which fades out
  if (tab) tabObserver.observe(tab);

  async function load(url) {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(answer.statusText);
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  // Append what the page behind `link` lists beyond this list; the first new entry, or null.
  async function append(link) {
    const page = await load(link.href);
    const isMore = link.matches(".more a"); // such a page begins with what is here already
    const all = [...page.querySelector("[data-list]").children];
    const entries = all.slice(isMore ? list.childElementCount : 0);
    for (const [place, card] of [...list.children].entries()) {
      const actions = (one) => one?.querySelector(".menu")?.childElementCount;
      if (isMore && actions(card) !== actions(all[place])) card.replaceWith(all[place]); // another edition joined it
    }
    list.append(...entries);
    document.dispatchEvent(new Event("cards"));
    const next = page.querySelector(".more, .pager");
    if (next) link.closest(".more, .pager").replaceWith(next);
    else link.closest(".more, .pager").remove();
    if (isMore) history.replaceState(history.state, "", link.href.replace(/#.*/, ""));
    return entries[0] ?? null;
  }

  document.addEventListener("click", async (event) => {
    const link = event.target.closest(".more a, .example .tool-step");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    try {
      if (link.matches(".tool-step")) await step(link);
      else (await append(link))?.querySelector("a")?.focus({ preventScroll: true });
    } catch {
      location.assign(link.href);
    }
    isBusy = false;
  });

  // Show another example in the same place.
  async function step(link) {
    const example = (await load(link.href)).querySelector("[data-example]");
    if (!example) throw new Error("no example");
    document.querySelector("[data-example]").replaceWith(example);
    history.replaceState(history.state, "", link.href);
    example.querySelector(`[aria-label="${link.getAttribute("aria-label")}"]`).focus({ preventScroll: true });
  }

  const observer = new IntersectionObserver(
    async (seen) => {
      const link = document.querySelector(".pager [rel=next], .more a");
      if (isBusy || !link || !seen.some((one) => one.isIntersecting)) return;
      isBusy = true;
      try {
        await append(link);
        appended += 1;
        watch();
      } catch {
        // The link is still there.
      }
      isBusy = false;
    },
    { rootMargin: "600px" },
  );

  function watch() {
    observer.disconnect();
    const end = document.querySelector(".pager:has([rel=next]), .more");
    if (list && list.dataset.list !== "on-demand" && end && appended < AUTOMATIC) observer.observe(end);
  }

  // Nobody who does not scroll is sent more than was asked for.
  addEventListener("scroll", watch, { once: true, passive: true });
})();
