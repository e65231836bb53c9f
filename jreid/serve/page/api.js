// The REST interface. The token, if there is one, is kept for this tab alone.

const KEPT = "jreid-token";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function setToken(token) {
  sessionStorage.setItem(KEPT, token);
}

/** Takes the token out of the address `#token=...`, where no server and log sees it. */
export function tokenFromAddress() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (found) {
    setToken(decodeURIComponent(found[1]));
    history.replaceState(null, "", location.pathname);
  }
}

async function ask(path, options = {}) {
  const headers = { "X-Jreid": "1" };
  const token = sessionStorage.getItem(KEPT);
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer. Is it still running?");
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  const error = new ApiError(response.status, told.error || `Error ${response.status}`);
  error.retryAfter = Number(response.headers.get("Retry-After")) || 0;
  throw error;
}

/** Asks again while the server is busy, a few times. */
async function askPatiently(path, options, busy, tries = 4) {
  for (;;) {
    try {
      return await ask(path, options);
    } catch (error) {
      if (error.status !== 503 || --tries === 0) throw error;
      busy();
      await new Promise((done) => setTimeout(done, 1000 * (error.retryAfter || 1)));
      options.signal?.throwIfAborted();
    }
  }
}

export const info = async () => (await ask("/api/info")).json();

export const images = async (offset, limit) =>
  (await ask(`/api/images?offset=${offset}&limit=${limit}`)).json();

export const query = async (body, signal, busy) =>
  (await askPatiently("/api/query", { method: "POST", body, signal }, busy)).json();

export const explain = async (body, signal) =>
  (await askPatiently("/api/explain", { method: "POST", body, signal }, () => {})).json();

const imagePath = (key) => `/api/images/${encodeURIComponent(key)}`;

export const fullImage = async (key) => {
  const contents = await (await ask(imagePath(key))).blob();
  return URL.createObjectURL(contents);
};

const MOST = 600; // thumbnails that are kept
const thumbnails = new Map(); // key -> promise of an object URL

export function thumbnail(key) {
  if (!thumbnails.has(key)) {
    const made = ask(`${imagePath(key)}/thumbnail`)
      .then((response) => response.blob())
      .then((contents) => URL.createObjectURL(contents));
    made.catch(() => thumbnails.delete(key));
    thumbnails.set(key, made);
    if (thumbnails.size > MOST) {
      const [oldest, gone] = thumbnails.entries().next().value;
      thumbnails.delete(oldest);
      gone.then(URL.revokeObjectURL, () => {});
    }
  }
  return thumbnails.get(key);
}
