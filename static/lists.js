// A list goes on where its reader comes to its end: with the next pages of a wall, and with what "Show more" shows. The
// links work without this.
"use strict";

(() => {
  const AUTOMATIC = 4; // pages; then the pager waits, so that the foot of the page can be reached
  const list = document.querySelector("[data-list]");
  let isBusy = false;
  let appended = 0;

  const tab = document.querySelector(".tabs [aria-current]");
  const tabObserver = new IntersectionObserver(([seen]) => { // asking for its place would lay out the page too early
    if (seen.intersectionRatio < 1) tab.scrollIntoView({ inline: "center", block: "nearest" });
    tabObserver.disconnect();
  }, { root: tab?.parentElement, rootMargin: "0px -32px" }); // beside the ends, which fade out
  if (tab) tabObserver.observe(tab);
  if (!list) return;

  // Append what the page behind `link` lists beyond this list; the first new entry, or null.
  async function append(link) {
    const answer = await fetch(link.href);
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const isMore = link.matches(".more a"); // such a page begins with what is here already
    const entries = [...page.querySelector("[data-list]").children].slice(isMore ? list.childElementCount : 0);
    list.append(...entries);
    const heading = page.querySelector("[data-heading]");
    if (heading) document.querySelector("[data-heading]").textContent = heading.textContent;
    const next = page.querySelector(".more, .pager");
    if (next) link.closest(".more, .pager").replaceWith(next);
    else link.closest(".more, .pager").remove();
    if (isMore) history.replaceState(null, "", link.href);
    return entries[0] ?? null;
  }

  document.addEventListener("click", async (event) => {
    const link = event.target.closest(".more a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    try {
      const first = await append(link);
      first?.querySelector("a")?.focus({ preventScroll: true });
    } catch {
      location.assign(link.href);
    }
    isBusy = false;
  });

  const observer = new IntersectionObserver(
    async (seen) => {
      const link = document.querySelector(".pager [rel=next]");
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
    const pager = document.querySelector(".pager:has([rel=next])");
    if (pager && appended < AUTOMATIC) observer.observe(pager);
  }

  watch();
})();
