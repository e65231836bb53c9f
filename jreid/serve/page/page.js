// The page: what is searched, and what was answered.

import * as api from "/api.js";
import { showDetail, showPicker } from "/dialogs.js";
import { addressOf, byId, element, likeliest, percent, picture } from "/elements.js";
import { keys, show } from "/results.js";

const LIKELY = 0.5; // the best below it: probably nobody here

let known = null; // what the server says of its gallery
let pictures = []; // {file, url} or {key, path}
let told = []; // what the server recognised, one per file
const marks = { liked: new Set(), disliked: new Set() };
let running = null;

async function open() {
  try {
    known = await api.info();
  } catch (error) {
    byId("token-form").hidden = error.status !== 401;
    byId("gallery").textContent = error.status === 401 ? "" : error.message;
    return error;
  }
  byId("token-form").hidden = true;
  byId("main").hidden = false;
  const count = known.images.toLocaleString();
  byId("gallery").textContent =
    `${count} images · ${known.dimensions} dimensions · model ${known.model.slice(0, 10)}`;
  for (const label of document.querySelectorAll(".time")) {
    label.hidden = known.times === "none";
    const input = label.querySelector("input");
    input.type = known.times === "dates" ? "datetime-local" : "number";
    input.step = known.times === "dates" ? "1" : "any";
  }
  byId("cameras").hidden = known.cameras.length < 2;
  byId("cameras").querySelector("div").replaceChildren(
    ...known.cameras.map((camera) =>
      element(
        "label",
        { className: "check" },
        element("input", { type: "checkbox", name: "cameras", value: camera }),
        ` ${camera}`,
      ),
    ),
  );
  return null;
}

function fail(message) {
  byId("failure").textContent = message;
  byId("failure").hidden = !message;
}

/** Takes what is allowed; says of the rest why it is not. */
function add(files) {
  const { limits } = known;
  const refused = [];
  for (const file of files) {
    const total = pictures.reduce((sum, one) => sum + (one.file?.size ?? 0), file.size);
    if (pictures.length >= limits.files) {
      refused.push(`${file.name}: at most ${limits.files} pictures of one person`);
    } else if (file.size > limits.file_bytes || total > limits.request_bytes) {
      refused.push(`${file.name}: ${megabytes(file.size)} are too many`);
    } else if (file.size === 0) {
      refused.push(`${file.name}: the file is empty`);
    } else {
      pictures.push({ file, url: URL.createObjectURL(file) });
    }
  }
  changed(refused.join(". "));
}

const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MB`;

function pick(entry) {
  if (pictures.length >= known.limits.files) {
    changed(`At most ${known.limits.files} pictures of one person`);
  } else if (pictures.some((one) => one.key === entry.key)) {
    changed("");
  } else {
    pictures.push({ key: entry.key, path: entry.path, modality: entry.modality });
    changed("");
  }
}

/** Another person is asked for: marks are of the former one. */
function changed(message) {
  told = [];
  forget();
  fail(message);
  drawPictures();
  if (pictures.length) search();
  else reset();
}

function forget() {
  marks.liked.clear();
  marks.disliked.clear();
  byId("forget").hidden = true;
}

function reset() {
  running?.abort();
  byId("hits").replaceChildren();
  byId("hits").removeAttribute("aria-busy");
  byId("status").textContent = "";
  byId("nobody").hidden = true;
  byId("empty").hidden = false;
}

function drawPictures() {
  let file = 0;
  const items = pictures.map((one) => {
    const seen = one.key ? null : (told[file++] ?? null);
    const what = one.key ? `${one.modality}, from the gallery` : seenAs(seen);
    const name = one.key ? one.path : one.file.name;
    const remove = element("button", { type: "button", "aria-label": `Remove ${name}` }, "✕");
    remove.onclick = () => {
      if (one.url) URL.revokeObjectURL(one.url);
      pictures = pictures.filter((other) => other !== one);
      changed("");
      byId("files").focus();
    };
    const warnings = (seen?.warnings ?? []).map((text) =>
      element("span", { className: "warning" }, text),
    );
    return element(
      "li",
      {},
      picture(one.key ? api.thumbnail(one.key) : one.url, ""),
      element(
        "div",
        { className: "about" },
        element("b", {}, name),
        what,
        ...warnings,
        seen ? measured(seen.numbers) : null,
      ),
      remove,
    );
  });
  byId("pictures").replaceChildren(...items);
  byId("search").disabled = !pictures.length;
  byId("clear").hidden = !pictures.length;
}

function seenAs(seen) {
  if (!seen) return "";
  return chosen() ? `${seen.modality}, as chosen` : `${seen.kind}, recognised`;
}

/** What the crop was recognised by, for who wants to know. */
function measured(numbers) {
  const lines = Object.entries(numbers).map(([name, value]) =>
    element("li", {}, `${name}: ${Number(value.toPrecision(4))}`),
  );
  if (!lines.length) return null;
  return element("details", {}, element("summary", {}, "measured"), element("ul", {}, ...lines));
}

const chosen = () => new FormData(byId("query")).get("modality");

/** The form as the interface takes it. */
function asked() {
  const given = new FormData(byId("query"));
  const body = new FormData();
  for (const one of pictures) {
    if (one.key) body.append("keys", one.key);
    else body.append("files", one.file, "picture"); // its name stays here
  }
  for (const name of ["modality", "k", "search", "after", "before", "by_track", "rerank"]) {
    if (given.get(name)) body.append(name, given.get(name) === "on" ? "true" : given.get(name));
  }
  for (const camera of given.getAll("cameras")) body.append("cameras", camera);
  for (const name of ["liked", "disliked"]) {
    for (const key of marks[name]) body.append(name, key);
  }
  return body;
}

async function search() {
  if (!pictures.length) return;
  running?.abort();
  const mine = (running = new AbortController());
  byId("empty").hidden = true;
  byId("hits").setAttribute("aria-busy", "true");
  if (!byId("hits").children.length) skeleton();
  byId("status").textContent = "Searching…";
  try {
    const busy = () => (byId("status").textContent = "The server is busy: waiting…");
    const answer = await api.query(asked(), mine.signal, busy);
    fail("");
    told = answer.query;
    showAsRead();
    drawPictures();
    present(answer);
  } catch (error) {
    if (error.name === "AbortError") return;
    reset();
    byId("empty").hidden = true;
    fail(error.message);
    if (error.status === 401) byId("token-form").hidden = false;
  }
  if (mine === running) byId("hits").removeAttribute("aria-busy");
}

/** Of 16 bits a browser shows the high byte, which may be nearly uniform. */
function showAsRead() {
  const files = pictures.filter((one) => one.file);
  files.forEach((one, index) => {
    const { picture: read } = told[index];
    if (!read) return;
    URL.revokeObjectURL(one.url);
    one.url = addressOf(read, "image/jpeg");
  });
}

function skeleton() {
  const blank = () => element("li", { className: "blank", "aria-hidden": "true" });
  byId("hits").replaceChildren(...Array.from({ length: 10 }, blank));
}

function present(answer) {
  const { hits } = answer;
  const best = likeliest(hits);
  byId("nobody").hidden = hits.length > 0 && (best === null || best >= LIKELY);
  byId("nobody").textContent = hits.length
    ? `Probably this person is not here: the likeliest image has ${percent(best ?? 0)}.`
    : "No image of the gallery matches these filters.";
  const marked = marks.liked.size + marks.disliked.size;
  byId("forget").hidden = !marked;
  byId("status").textContent =
    `${hits.length} of ${known.images.toLocaleString()} images` +
    (marked ? `, refined by ${marked} marked` : "") +
    ` · ${Math.round(answer.milliseconds)} ms`;
  const [first] = pictures;
  const address = first.key ? api.thumbnail(first.key) : first.url;
  const open = (hit) => showDetail(hit, address, explained(hit), { unexplained: known.unexplained, use });
  show(answer, marks, { mark, open });
  const below = byId("results").getBoundingClientRect().top > innerHeight * 0.7;
  if (below && !marked) byId("results").scrollIntoView();
}

function mark(key, name) {
  const other = name === "liked" ? "disliked" : "liked";
  marks[other].delete(key);
  if (!marks[name].delete(key)) marks[name].add(key);
  search();
}

function use(hit) {
  pictures.forEach((one) => one.url && URL.revokeObjectURL(one.url));
  pictures = [];
  pick(hit);
  scrollTo({ top: 0 });
}

/** The form that asks why a hit is like the first picture. */
function explained(hit) {
  if (!known.explains) return null;
  const body = new FormData();
  const [first] = pictures;
  if (first.key) body.append("query_key", first.key);
  else body.append("file", first.file, "picture");
  if (chosen()) body.append("modality", chosen());
  body.append("key", hit.key);
  return body;
}

function listen() {
  byId("token-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    api.setToken(byId("token").value);
    const error = await open();
    byId("token-error").textContent = error?.message ?? "";
  });
  byId("query").addEventListener("submit", (event) => (event.preventDefault(), search()));
  byId("files").addEventListener("change", (event) => {
    add([...event.target.files]);
    event.target.value = "";
  });
  byId("pick").addEventListener("click", () => showPicker(pick));
  byId("clear").addEventListener("click", () => {
    pictures.forEach((one) => one.url && URL.revokeObjectURL(one.url));
    pictures = [];
    changed("");
    byId("files").focus();
  });
  byId("forget").addEventListener("click", () => (forget(), search()));
  for (const radio of document.querySelectorAll("[name=modality]")) {
    radio.addEventListener("change", search);
  }
  byId("hits").addEventListener("keydown", keys);
  addEventListener("paste", (event) => {
    if (known && event.clipboardData.files.length) add([...event.clipboardData.files]);
  });
  dropping();
}

/** Files may be dropped anywhere on the page: what is missed would replace it. */
function dropping() {
  let depth = 0;
  const lit = (on) => byId("drop").classList.toggle("lit", on);
  addEventListener("dragenter", () => lit(++depth > 0));
  addEventListener("dragleave", () => lit(--depth > 0));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    lit((depth = 0) > 0);
    if (known && event.dataTransfer.files.length) add([...event.dataTransfer.files]);
  });
}

api.tokenFromAddress();
listen();
open();
