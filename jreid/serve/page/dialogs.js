// The two dialogs: one image of the ranking with its explanation, and the gallery's images.

import * as api from "/api.js";
import { addressOf, byId, element, facts, likeness, picture } from "/elements.js";

let explaining = null;

/**
 * Shows a hit beside the query's picture, whose address is `query`. `body` is the form
 * that asks for their explanation; null if none can be had, which `unexplained` says why.
 */
export async function showDetail(hit, query, body, { unexplained, use }) {
  explaining?.abort();
  explaining = new AbortController();
  const { signal } = explaining;
  byId("detail-title").textContent = hit.path;
  byId("detail-facts").textContent = [likeness(hit), hit.modality, ...facts(hit)].join(" · ");
  byId("pair").className = "";
  byId("pair").replaceChildren(
    picture(query, "The query"),
    picture(api.thumbnail(hit.key), "The image that was found"),
  );
  byId("explained").className = "";
  byId("explained").textContent = body
    ? "Looking for the regions that make the two alike…"
    : unexplained;
  link(hit.key);
  byId("use").onclick = () => (byId("detail").close(), use(hit));
  if (!byId("detail").open) byId("detail").showModal();
  if (!body) return;
  try {
    const made = await api.explain(body, signal);
    const url = addressOf(made.picture, "image/png");
    signal.addEventListener("abort", () => URL.revokeObjectURL(url));
    byId("pair").className = "maps";
    byId("pair").replaceChildren(
      picture(url, "Both pictures, coloured by what each region adds to their similarity"),
    );
    byId("explained").replaceChildren(
      `Similarity ${made.similarity.toFixed(3)} (cosine), ${made.kind}. `,
      element("small", {}, made.statement),
    );
  } catch (error) {
    if (error.name === "AbortError") return;
    byId("explained").className = "error";
    byId("explained").textContent = error.message;
  }
}

byId("detail").addEventListener("close", () => explaining?.abort());

/** A plain link, which a click turns into the image's own bytes: they may need the token. */
function link(key) {
  const full = byId("full");
  full.href = `/api/images/${encodeURIComponent(key)}`;
  full.onclick = async (event) => {
    event.preventDefault();
    try {
      window.open(await api.fullImage(key), "_blank");
    } catch (error) {
      byId("explained").className = "error";
      byId("explained").textContent = error.message;
    }
  };
}

const SHELF = 60;

/** Lets an image of the gallery be picked. */
export function showPicker(onPick) {
  byId("shelf").replaceChildren();
  byId("more").onclick = () => fill(onPick);
  byId("picker").showModal();
  return fill(onPick);
}

async function fill(onPick) {
  const shelf = byId("shelf");
  byId("more").disabled = true;
  byId("picker-status").className = "";
  byId("picker-status").textContent = "Loading…";
  try {
    const page = await api.images(shelf.children.length, SHELF);
    const first = shelf.children.length;
    shelf.append(...page.images.map((entry) => shelved(entry, onPick)));
    byId("picker-status").textContent = `${shelf.children.length} of ${page.total} images`;
    byId("more").hidden = shelf.children.length >= page.total || !page.images.length;
    shelf.children[first]?.querySelector("button").focus();
  } catch (error) {
    byId("picker-status").className = "error";
    byId("picker-status").textContent = error.message;
  }
  byId("more").disabled = false;
}

function shelved(entry, onPick) {
  const told = [entry.path, entry.modality, ...facts(entry)].join(", ");
  const button = element(
    "button",
    { type: "button", title: entry.path, "aria-label": told },
    picture(api.thumbnail(entry.key), ""),
    element("small", {}, entry.path),
  );
  button.onclick = () => (byId("picker").close(), onPick(entry));
  return element("li", {}, button);
}
