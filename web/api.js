// The server, over HTTP: one place for keys, errors in words and event streams.
import { kept } from "./dom.js";

let key = kept("sessionStorage", "vargpt-key");

export const hasKey = () => Boolean(key);

export function keepKey(value) {
  key = value;
  kept("sessionStorage", "vargpt-key", value);
}

/** kind: "network", "key", "loading", "busy" or "server". progress: 0..1 while loading. */
export class ServerError extends Error {
  constructor(kind, message, details = {}) {
    super(message);
    Object.assign(this, { kind, status: 0, retryAfter: 0, progress: null }, details);
  }
}

const lost = () => new ServerError("network", "The server cannot be reached. It may have stopped, or the network is down.");

function kindOf(status, code) {
  if (status === 401) return "key";
  if (status === 503 && code === "loading") return "loading";
  if (status === 429 || status === 503) return "busy";
  return "server";
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

async function failureOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // not ours: a proxy's page
  }
  const error = body.error ?? {};
  const message = error.message ? sentence(error.message) : `The server answered with status ${response.status}.`;
  return new ServerError(kindOf(response.status, error.code), message, {
    status: response.status,
    retryAfter: Number(response.headers.get("retry-after")) || 0,
    progress: typeof body.progress === "number" ? body.progress : null,
  });
}

async function ask(path, options) {
  if (key) options.headers = { ...options.headers, Authorization: `Bearer ${key}` };
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store", referrerPolicy: "no-referrer" });
  } catch (error) {
    throw error.name === "AbortError" ? error : lost();
  }
  if (!response.ok) throw await failureOf(response);
  return response;
}

export const getJson = async (path) => (await ask(path, {})).json();

export const post = (path, body, signal) =>
  ask(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" }, signal });

/** Resolves after that many seconds; throws when the signal aborts. */
export const sleep = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

/** The lines of a body as they come, without their ends. */
async function* linesOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pieces = []; // of the line that has not ended; pictures come in many
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = value.split("\n");
      for (const part of parts.slice(0, -1)) {
        const line = pieces.join("") + part;
        pieces = [];
        yield line.endsWith("\r") ? line.slice(0, -1) : line;
      }
      pieces.push(parts.at(-1));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The JSON of each server-sent event, up to [DONE]. An error event throws, as does a stream that breaks off. */
export async function* eventsOf(response, endsWithDone) {
  let data = [];
  try {
    for await (const line of linesOf(response.body)) {
      if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
      if (line !== "" || data.length === 0) continue;
      const text = data.join("\n");
      data = [];
      if (text === "[DONE]") return;
      const event = JSON.parse(text);
      if (event.error) throw new ServerError("server", sentence(event.error.message ?? "The server failed"));
      yield event;
    }
  } catch (error) {
    if (error instanceof ServerError || error.name === "AbortError") throw error;
    throw new ServerError("network", "The connection was lost before the reply was complete.");
  }
  if (endsWithDone) throw new ServerError("network", "The connection ended before the reply was complete.");
}

/**
 * Posts, and does what can be done about a refusal: waits while the model loads, asks for a key. askKey() gives true once there is
 * one; onWait(text) is told why nothing happens yet, and "" once something does.
 */
export async function postPatiently(path, body, signal, { askKey, onWait }) {
  for (;;) {
    try {
      const response = await post(path, body, signal);
      onWait("");
      return response;
    } catch (error) {
      if (error.kind === "loading") {
        const percent = error.progress === null ? "" : ` (${Math.round(error.progress * 100)} %)`;
        onWait(`The model is still loading${percent}. This goes out as soon as it is ready.`);
        await sleep(Math.min(error.retryAfter || 1, 2), signal);
      } else if (error.kind !== "key" || !(await askKey())) {
        throw error;
      }
    }
  }
}
