// The map: a viewer of tiles by Leaflet. Beyond the last tiles the covers themselves lie over them.
"use strict";

(() => {
  const element = document.querySelector("#map");
  const data = element.dataset;
  const [columns, rows, cellWidth, cellHeight, most] = ["columns", "rows", "cellWidth", "cellHeight", "zoom"].map((name) => Number(data[name]));
  const width = columns * cellWidth;
  const height = rows * cellHeight;
  const BLOCK = 16; // as webapp/pages/map.py
  const SHARP = 120; // covers at once, at most
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const scale = 2 ** most;
  const crs = L.extend({}, L.CRS.Simple, { transformation: new L.Transformation(1 / scale, 0, 1 / scale, 0) });
  const bounds = L.latLngBounds([0, 0], [height, width]);
  const map = L.map(element, {
    crs, minZoom: -2, maxZoom: most + 2, zoomSnap: 0.25, zoomDelta: 1, wheelPxPerZoomLevel: 90,
    zoomAnimation: !calm, fadeAnimation: !calm, inertia: !calm, attributionControl: false,
  });
  element.setAttribute("role", "application");
  element.setAttribute("aria-label", "Map of all covers. Arrow keys move it, plus and minus zoom, Enter shows the cover in the middle.");

  const Tiles = L.GridLayer.extend({
    createTile({ x, y, z }, done) {
      const image = document.createElement("img");
      image.alt = "";
      image.decoding = "async";
      image.addEventListener("load", () => done(null, image));
      image.addEventListener("error", () => done(new Error("no tile"), image));
      const inside = z >= 0 && x >= 0 && y >= 0 && x * 512 < width / 2 ** (most - z) && y * 512 < height / 2 ** (most - z);
      if (inside) image.src = data.tiles.replace("{z}", z).replace("{x}", x).replace("{y}", y);
      else setTimeout(() => done(null, image));
      return image;
    },
  });
  // The middle of the view stays on the map.
  map.on("moveend", () => {
    const { lat, lng } = map.getCenter();
    const inside = L.latLng(Math.min(Math.max(lat, 0), height), Math.min(Math.max(lng, 0), width));
    if (map.latLngToContainerPoint(inside).distanceTo(map.getSize().divideBy(2)) > 2) map.panTo(inside, { animate: !calm });
  });
  const tiles = new Tiles({ tileSize: 512, minNativeZoom: 0, maxNativeZoom: most, minZoom: -2, maxZoom: most + 2, bounds, keepBuffer: 3 });
  // The overview stands in for the first tiles.
  map.createPane("overview").style.zIndex = 100;
  const overview = L.svgOverlay(element.querySelector(".map-overview"), bounds, { pane: "overview" }).addTo(map);
  tiles.once("load", () => overview.remove());
  tiles.addTo(map);
  if (data.layer) L.imageOverlay(data.layer, bounds, { className: "map-layer" }).addTo(map);

  // -- cells and games --

  const glowing = data.glowing.trim().split(" ").filter(Boolean).map((one) => one.split(",").map(Number)); // what a query found

  const blocks = new Map();
  const boundsOf = ([x, y]) => L.latLngBounds([y * cellHeight, x * cellWidth], [(y + 1) * cellHeight, (x + 1) * cellWidth]);
  const cellAt = ({ lat, lng }) => [Math.floor(lng / cellWidth), Math.floor(lat / cellHeight)];
  const isInside = ([x, y]) => x >= 0 && y >= 0 && x < columns && y < rows;

  function block(x, y) {
    const name = `${Math.floor(x / BLOCK)}/${Math.floor(y / BLOCK)}`;
    if (!blocks.has(name)) {
      const answer = fetch(`/map/games/${data.version}/${name}.json`).then((one) => (one.ok ? one.json() : Promise.reject(one.status)));
      blocks.set(name, answer.catch(() => (blocks.delete(name), {}))); // the next one asks again
    }
    return blocks.get(name);
  }

  // [appid, name, cover] of a cell, undefined where there is none.
  async function gameAt([x, y]) {
    if (!isInside([x, y])) return undefined;
    return (await block(x, y))[(y % BLOCK) * BLOCK + (x % BLOCK)];
  }

  // -- pointing and choosing --

  const name = L.tooltip({ className: "map-name", direction: "top", opacity: 1 });
  const hovers = matchMedia("(hover: hover)").matches;
  let pointed = "";
  map.on("mousemove", async ({ latlng }) => {
    const cell = cellAt(latlng);
    pointed = cell.join();
    const game = await gameAt(cell);
    if (pointed !== cell.join()) return;
    if (!game || !hovers || map.dragging.moving()) {
      name.remove();
      return;
    }
    const top = [cell[1] * cellHeight, (cell[0] + 0.5) * cellWidth];
    const isLow = map.latLngToContainerPoint(top).y > 90; // else there is no room above
    name.options.direction = isLow ? "top" : "bottom";
    name.setLatLng(isLow ? top : [top[0] + cellHeight, top[1]]).setContent(text(game[1])).addTo(map);
  });
  map.on("mouseout movestart", () => {
    pointed = "";
    name.remove();
  });
  map.on("click", async ({ latlng }) => {
    const game = await gameAt(cellAt(latlng));
    if (game) show(game[0]);
    else hide();
  });
  element.addEventListener("keydown", async (event) => {
    if (event.key === "Enter" && event.target === element) {
      event.preventDefault();
      const game = await gameAt(cellAt(map.getCenter()));
      if (!game) return;
      await show(game[0]);
      card.querySelector("h2 a")?.focus();
    }
    if (event.key.startsWith("Arrow")) event.stopPropagation(); // elsewhere they walk from card to card
  });

  function text(words) {
    const span = document.createElement("span");
    span.textContent = words;
    return span;
  }

  const card = document.querySelector("#map-card");
  element.parentElement.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !card.hidden) {
      hide();
      element.focus();
    }
  });
  const status = document.querySelector("#map-status");
  const marks = L.layerGroup().addTo(map);

  let shown = 0;

  async function show(appid, flies = false) {
    const number = (shown += 1);
    const answer = await fetch(`/map/card/${appid}`);
    if (!answer.ok) return;
    const html = await answer.text();
    if (number !== shown) return; // another one was chosen meanwhile, or none
    const hadFocus = card.contains(document.activeElement);
    card.innerHTML = html;
    card.hidden = false;
    if (hadFocus) card.querySelector("h2 a").focus();
    const { cell, lines } = card.firstElementChild.dataset;
    const here = boundsOf(cell.split(",").map(Number));
    marks.clearLayers();
    for (const line of lines.trim().split(" ").filter(Boolean)) {
      const other = boundsOf(line.split(",").map(Number));
      outline((style) => L.polyline([here.getCenter(), other.getCenter()], style), "#fff", 1.5);
      outline((style) => L.rectangle(other, style), "#ffb054", 2);
    }
    outline((style) => L.rectangle(here, style), "#ff7a2f", 4);
    status.textContent = card.querySelector("h2").textContent;
    chosen(appid);
    if (flies) {
      map.once("moveend", () => uncover(here));
      fly(here);
    } else uncover(here);
  }

  // On any cover: dark under light.
  function outline(shape, color, weight) {
    marks.addLayer(shape({ color: "#000", weight: weight + 2, opacity: 0.6, fill: false, interactive: false }));
    marks.addLayer(shape({ color, weight, fill: false, interactive: false }));
  }

  // The card's game is that of the address, unless that names a query.
  function chosen(appid) {
    if (glowing.length) return;
    const url = new URL(location);
    url.searchParams.delete("game");
    if (appid) url.searchParams.set("game", appid);
    history.replaceState(history.state, "", url);
  }

  // Move a cover out from under the card.
  function uncover(here) {
    const over = card.getBoundingClientRect();
    const frame = element.getBoundingClientRect();
    const corner = map.latLngToContainerPoint(here.getNorthEast()); // y grows downwards: the lower right one
    const [right, bottom] = [frame.left + corner.x, frame.top + corner.y];
    const start = map.latLngToContainerPoint(here.getSouthWest());
    const [left, top] = [frame.left + start.x, frame.top + start.y];
    if (right < over.left || left > over.right || bottom < over.top || top > over.bottom) return;
    const up = bottom - over.top + 12;
    const aside = right - over.left + 12;
    map.panBy(up < aside || frame.width < 600 ? [0, up] : [aside, 0], { animate: !calm });
  }

  function fly(here) {
    const zoom = Math.max(map.getZoom(), most - 0.5);
    if (calm) map.setView(here.getCenter(), zoom, { animate: false });
    else map.flyTo(here.getCenter(), zoom, { duration: 1.2 });
  }

  function hide() {
    shown += 1;
    card.hidden = true;
    marks.clearLayers();
    chosen(undefined);
  }

  card.addEventListener("click", (event) => {
    if (event.target.closest(".map-close")) {
      hide();
      element.focus();
    }
    const near = event.target.closest(".map-nearest a");
    if (near && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      show(near.dataset.appid, true);
    }
  });
  // The search box flies there.
  document.addEventListener("click", (event) => {
    const option = event.target.closest(".top [role=option]");
    const appid = option && /^\/render\/(\d+)/.exec(new URL(option.href).pathname)?.[1];
    if (!appid || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    element.focus({ preventScroll: true });
    show(appid, true);
  });

  // -- names of regions: as many as fit --

  const regions = [...document.querySelectorAll("[data-region]")].map((one) => {
    const [x, y, across, down] = one.dataset.region.split(",").map(Number);
    return { name: one.textContent, at: [(y + down / 2) * cellHeight, (x + across / 2) * cellWidth], width: across * cellWidth };
  });
  const names = L.layerGroup().addTo(map);

  function nameRegions() {
    names.clearLayers();
    const taken = [[0, 0, 64, 110]]; // the buttons
    const shown = new Set();
    const view = map.getBounds();
    const size = map.getSize();
    for (const region of regions) {
      const wide = region.width * map.getZoomScale(map.getZoom(), most);
      if (wide < 110 || wide > 800 || !view.contains(region.at) || shown.has(region.name)) continue;
      const { x, y } = map.latLngToContainerPoint(region.at);
      const half = region.name.length * 5 + 14;
      const box = [x - half, y - 16, x + half, y + 16];
      if (box[0] < 0 || box[1] < 0 || box[2] > size.x || box[3] > size.y) continue;
      if (taken.some((one) => box[0] < one[2] && one[0] < box[2] && box[1] < one[3] && one[1] < box[3])) continue;
      taken.push(box);
      shown.add(region.name);
      const className = wide > 500 ? "map-place map-place-large" : "map-place";
      const icon = L.divIcon({ className, html: text(region.name), iconSize: null });
      names.addLayer(L.marker(region.at, { icon, interactive: false, keyboard: false }));
    }
  }

  // -- sharp covers, where a cell is larger than its tile --

  const sharp = L.layerGroup().addTo(map);
  const covers = new Map();

  async function sharpen() {
    const view = map.getBounds();
    const [left, top] = cellAt(view.getSouthWest()); // y grows downwards, so south is above
    const [right, bottom] = cellAt(view.getNorthEast());
    const wanted = new Set();
    if (map.getZoom() > most + 0.2 && (right - left + 1) * (bottom - top + 1) <= SHARP) {
      for (let y = Math.max(0, top); y <= Math.min(rows - 1, bottom); y += 1) {
        for (let x = Math.max(0, left); x <= Math.min(columns - 1, right); x += 1) wanted.add(`${x},${y}`);
      }
    }
    for (const [place, cover] of covers) {
      if (!wanted.has(place)) {
        cover.remove();
        covers.delete(place);
      }
    }
    for (const place of wanted) {
      if (covers.has(place)) continue;
      const cell = place.split(",").map(Number);
      const game = await gameAt(cell);
      if (!game?.[2] || covers.has(place)) continue;
      covers.set(place, L.imageOverlay(game[2], boundsOf(cell), { className: "map-cover" }));
      sharp.addLayer(covers.get(place));
    }
  }

  // -- what lights up --

  if (glowing.length) {
    const ring = (one) => [one.getSouthWest(), one.getNorthWest(), one.getNorthEast(), one.getSouthEast()];
    const holes = glowing.map((cell) => ring(boundsOf(cell)));
    L.polygon([ring(bounds), ...holes], { stroke: false, fillColor: "#000", fillOpacity: 0.75, fillRule: "evenodd", interactive: false }).addTo(map);
  }

  // The reader's own cover stands beside what is most like it.
  async function placeOwn() {
    const draft = (await drafts.all()).find((one) => one.picture === data.picture);
    if (!draft || !glowing.length) return;
    const canvas = pictures.drawn(await createImageBitmap(draft.blob), 180);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Your cover");
    const here = boundsOf(glowing[0]);
    const icon = L.divIcon({ className: "map-own", html: canvas, iconSize: [64, 96], iconAnchor: [32, 100] });
    L.marker(here.getCenter(), { icon, interactive: false, keyboard: false }).addTo(map);
    L.rectangle(here, { color: "#ff7a2f", weight: 4, fill: false, interactive: false }).addTo(map);
  }
  if (data.picture) placeOwn().catch(() => {}); // a browser that keeps nothing shows the map without it

  // -- the place is in the address: #zoom/x/y, x and y as fractions of the map --

  let isFromAddress = false;

  function fromAddress() {
    const [zoom, x, y] = location.hash.slice(1).split("/").map(Number);
    if (![zoom, x, y].every(Number.isFinite) || !location.hash) return false;
    const within = (value, least, largest) => Math.min(Math.max(value, least), largest);
    isFromAddress = true;
    map.setView([within(y, 0, 1) * height, within(x, 0, 1) * width], within(zoom, -most - 2, 2) + most, { animate: false });
    isFromAddress = false;
    return true;
  }

  let settled = 0;
  map.on("moveend zoomend", () => {
    nameRegions();
    sharpen();
    clearTimeout(settled);
    if (isFromAddress) return; // it says so already
    settled = setTimeout(() => {
      const { lat, lng } = map.getCenter();
      const place = [map.getZoom() - most, lng / width, lat / height].map((one) => String(Math.round(one * 1e4) / 1e4)).join("/");
      history.replaceState(history.state, "", `#${place}`);
    }, 200);
  });
  addEventListener("hashchange", fromAddress);

  const whole = map.getBoundsZoom(bounds, false);
  map.setMinZoom(Math.min(whole, most) - 0.5);
  const isSet = fromAddress();
  // All of it, or on a narrow screen somewhat more than its width.
  if (!isSet) map.setView([height / 2, width / 2], Math.min(map.getBoundsZoom(bounds, true), whole + 0.75), { animate: false });
  if (data.game) show(data.game, !isSet);
  new ResizeObserver(() => map.invalidateSize()).observe(element);
  document.querySelector("#by").addEventListener("change", (event) => event.target.form.requestSubmit());
  // Other colours and filters keep the place.
  document.addEventListener("submit", (event) => {
    if (new URL(event.target.action).pathname === "/map") event.target.action = "/map" + location.hash;
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest(".map-head a");
    if (link && link.pathname === "/map") link.hash = location.hash;
    const region = event.target.closest("[data-region] a");
    if (!region || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const [x, y, across, down] = region.parentElement.dataset.region.split(",").map(Number);
    map.flyToBounds(boundsOf([x, y]).extend(boundsOf([x + across - 1, y + down - 1])), { animate: !calm, duration: 1.2 });
    element.scrollIntoView({ block: "nearest" });
  });
})();
