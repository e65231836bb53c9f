// Elements of the page, made of names and texts; nothing is ever parsed as HTML.

export const byId = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** An image that appears when its address is known; without one, a word instead. */
export function picture(address, alt) {
  const image = element("img", { alt, decoding: "async" });
  const frame = element("span", { className: "picture loading" }, image);
  const missing = () => {
    frame.classList.remove("loading");
    frame.replaceChildren(element("span", { className: "missing" }, "no picture"));
  };
  image.addEventListener("load", () => frame.classList.remove("loading"));
  image.addEventListener("error", missing);
  Promise.resolve(address).then((url) => (image.src = url), missing);
  return frame;
}

/** The address of a picture that came as base64. */
export function addressOf(base64, type) {
  const contents = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([contents], { type }));
}

export const facts = (one) => [
  one.camera === null ? null : `camera ${one.camera}`,
  one.time === null ? null : when(one.time),
  one.track === null ? null : `track ${one.track}`,
].filter((fact) => fact !== null);

function when(time) {
  if (!Number.isNaN(Number(time))) return `time ${time}`;
  const date = new Date(time);
  if (Number.isNaN(date.valueOf())) return time;
  return date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

export function likeness(hit) {
  if (hit.probability === null) return `distance ${hit.distance.toFixed(3)}`;
  return percent(hit.probability);
}

/**
 * The highest probability, not always the first hit's: each pair of modalities has a curve
 * of its own, and re-ranking and marks move hits. Null where none is known.
 */
export function likeliest(hits) {
  const known = hits.map((hit) => hit.probability).filter((one) => one !== null);
  return known.length ? Math.max(...known) : null;
}

export function percent(probability) {
  if (probability > 0.99) return "over 99 %";
  if (probability < 0.01) return "under 1 %";
  return `${Math.round(probability * 100)} %`;
}
