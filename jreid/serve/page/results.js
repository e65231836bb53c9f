// The ranking: one card per image, best first.

import * as api from "/api.js";
import { byId, element, facts, likeness, picture } from "/elements.js";

const cards = new Map(); // key -> card, so that a card moves and is not made anew
// Blue, magenta, amber, cyan, violet, pink: green and red say right and wrong.
const HUES = [215, 300, 42, 184, 262, 332];

/**
 * Shows the answer. `marks` are the sets `liked` and `disliked`; `on.mark(key, name)` and
 * `on.open(hit)` are called by the buttons.
 */
export function show(answer, marks, on) {
  const focused = document.activeElement?.closest?.("#hits li, #hits button");
  const focusedKey = focused?.closest("li")?.dataset.key;
  const place = [...byId("hits").children].indexOf(focused?.closest("li"));
  const focusedPart = document.activeElement?.dataset?.part;
  for (const key of cards.keys()) {
    if (!answer.hits.some((hit) => hit.key === key)) cards.delete(key);
  }
  const people = [...new Set(answer.hits.map((hit) => hit.identity))];
  const shown = answer.hits.map((hit, index) => {
    const made = card(hit, index, answer, marks, on);
    made.style.setProperty("--hue", HUES[people.indexOf(hit.identity) % HUES.length]);
    return made;
  });
  byId("hits").replaceChildren(...shown);
  if (focusedKey) {
    const same = cards.get(focusedKey) ?? shown[Math.min(place, shown.length - 1)];
    const again = same?.querySelector(`[data-part="${focusedPart}"]`);
    (again ?? byId("results")).focus();
  }
}

function card(hit, index, answer, marks, on) {
  const made = cards.get(hit.key) ?? empty(hit);
  cards.set(hit.key, made);
  const [frame, verdict] = framed(hit, answer.identity);
  made.className = frame;
  made.style.setProperty("--share", hit.probability ?? 0);
  const place = `Result ${index + 1}: ${[likeness(hit), ...facts(hit), verdict].join(", ")}`;
  const open = made.querySelector('[data-part="open"]');
  open.setAttribute("aria-label", `${place}. Explain`);
  open.onclick = () => on.open(hit);
  made.querySelector(".rank").textContent = index + 1;
  made.querySelector(".likeness").textContent = likeness(hit);
  made.querySelector(".likeness").classList.toggle("known", hit.probability !== null);
  made.querySelector(".facts").replaceChildren(
    ...facts(hit).map((fact) => element("span", {}, fact)),
  );
  made.querySelector(".verdict").textContent = verdict;
  for (const name of ["liked", "disliked"]) {
    const button = made.querySelector(`[data-part="${name}"]`);
    button.setAttribute("aria-pressed", marks[name].has(hit.key));
    button.onclick = () => on.mark(hit.key, name);
  }
  return made;
}

function empty(hit) {
  const button = (part, sign, text, label) =>
    element(
      "button",
      { type: "button", "data-part": part, "aria-label": label },
      element("span", { "aria-hidden": "true" }, sign),
      ` ${text}`,
    );
  return element(
    "li",
    { "data-key": hit.key },
    element(
      "button",
      { type: "button", className: "open", "data-part": "open" },
      picture(api.thumbnail(hit.key), ""),
      element("span", { className: "rank" }),
      element("span", { className: "modality" }, hit.modality),
    ),
    element("p", { className: "likeness" }),
    element("p", { className: "facts" }),
    element("p", { className: "verdict" }),
    element(
      "div",
      { className: "feedback" },
      button("liked", "✓", "Same", "Same person: this one is"),
      button("disliked", "✗", "Other", "Other person: this one is not"),
    ),
  );
}

/** The frame's class, and the same in words. */
function framed(hit, identity) {
  if (hit.identity === null) return ["unknown", ""];
  if (identity === null) return ["known", `person ${hit.identity}`];
  if (hit.identity === identity) return ["right", `same: ${hit.identity}`];
  return ["wrong", `other: ${hit.identity}`];
}

/** Arrow keys go from card to card, y and n mark the card that has the focus. */
export function keys(event) {
  const item = event.target.closest?.("#hits li");
  if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
  const part = event.target.dataset.part;
  const other = {
    ArrowRight: item.nextElementSibling,
    ArrowLeft: item.previousElementSibling,
    Home: item.parentElement.firstElementChild,
    End: item.parentElement.lastElementChild,
  }[event.key];
  const mark = { y: "liked", n: "disliked" }[event.key];
  if (mark) item.querySelector(`[data-part="${mark}"]`).click();
  else if (other) other.querySelector(`[data-part="${part}"]`).focus();
  else return;
  event.preventDefault();
}
