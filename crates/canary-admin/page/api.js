// Requests to the server. All paths are relative to the page, which can be mounted anywhere.

const TOKEN = "canary-token";
const TIMEOUT_MS = 10_000;

/// An error response: problem details as in RFC 9457.
export class Problem extends Error {
  constructor(status, details) {
    super(details.detail || details.title || `the server answered with status ${status}`);
    this.status = status;
    this.details = details;
  }
}

/// No response: the server is away, or too slow.
export class NoResponse extends Error {}

let askForToken = () => Promise.reject(new Error("a token is needed"));
let pendingToken = null;

/// Sets the function that asks the operator for a token. It takes the reason and returns a promise.
export function onTokenNeeded(ask) {
  askForToken = ask;
}

/// Forgets the token.
export function signOut() {
  sessionStorage.removeItem(TOKEN);
}

export function hasToken() {
  return sessionStorage.getItem(TOKEN) !== null;
}

/// Returns the path of a canary's resource.
export function canaryPath(name, resource = "") {
  return `canaries/${encodeURIComponent(name)}${resource && `/${resource}`}`;
}

/// Sends a request, and returns the JSON of its response.
export async function json(path, options = {}) {
  const response = await open(path, { timeout: TIMEOUT_MS, ...options });
  try {
    return await response.json();
  } catch (error) {
    throw new NoResponse(`the response broke off: ${error.message}`);
  }
}

/// Sends a request, and returns its response if it succeeded. Asks for a token if one is needed.
export async function open(path, options = {}) {
  for (;;) {
    const used = sessionStorage.getItem(TOKEN);
    const response = await send(path, options, used);
    if (response.ok) return response;
    const details = await response.json().catch(() => ({}));
    if (response.status !== 401) throw new Problem(response.status, details);
    if (sessionStorage.getItem(TOKEN) === used) await newToken(used ? details.detail : "");
  }
}

async function send(path, { method = "GET", body, headers = {}, signal, timeout }, token) {
  const signals = [signal, timeout && AbortSignal.timeout(timeout)].filter(Boolean);
  const all = { ...headers };
  if (token) all.authorization = `Bearer ${token}`;
  if (body !== undefined) all["content-type"] = "application/json";
  try {
    return await fetch(path, {
      method,
      headers: all,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signals.length ? AbortSignal.any(signals) : undefined,
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new NoResponse(
      error.name === "TimeoutError" ? "no response in ten seconds" : "no connection to the server",
    );
  }
}

/// Several requests can need the token at once. They share one dialog.
async function newToken(reason) {
  pendingToken ??= askForToken(reason).finally(() => {
    pendingToken = null;
  });
  sessionStorage.setItem(TOKEN, await pendingToken);
}
