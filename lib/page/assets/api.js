// Requests to the server. The token is kept for this tab only, and is never a cookie.
import { S } from "./strings.js";

const TOKEN = "crpe-token";

/** A failure that the server has reported; `status` is 0 when it could not be reached. */
export class ApiError extends Error {
  constructor(status, { code, message, detail } = {}) {
    super(message ?? (status === 0 ? S.errors.network : S.errors.unexpected(status)));
    Object.assign(this, { status, code, detail });
  }
}

/** Whether a failure says that `flag` would allow what it refuses. */
export const isOverruledBy = (flag, error) => error?.detail?.overrule?.flag === flag;

export const getToken = () => sessionStorage.getItem(TOKEN);

export function setToken(token) {
  if (token === null) sessionStorage.removeItem(TOKEN);
  else sessionStorage.setItem(TOKEN, token);
}

/** The headers of every request. */
export function authHeaders() {
  const token = getToken();
  return token === null ? {} : { authorization: `Bearer ${token}` };
}

/** Sends a request and returns the document of the answer. */
export async function request(method, path, { body, headers = {}, signal } = {}) {
  let response, text;
  try {
    response = await fetch(path, {
      method,
      headers: { accept: "application/json", ...authHeaders(), ...headers },
      body,
      signal,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0);
  }
  return readAnswer(response.status, text);
}

/** Returns the document of an answer, or throws the error that it describes. */
export function readAnswer(status, text) {
  let document;
  try {
    document = JSON.parse(text);
  } catch {
    if (status < 300) throw new ApiError(status);
  }
  if (status < 200 || status >= 300) throw new ApiError(status, document?.errors?.[0]);
  return document;
}

export const get = (path, signal) => request("GET", path, { signal });

/** Exchanges the one-time code of the address for the token, and removes it from the address. */
export async function redeemCode() {
  const code = /^#t=([^&]+)(?:&|$)/.exec(location.hash)?.[1];
  if (code === undefined) return;
  history.replaceState(null, "", "/");
  const { token } = await request("POST", "/api/session", { body: JSON.stringify({ code: decodeURIComponent(code) }) });
  setToken(token);
}
