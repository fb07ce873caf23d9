// Sends a bundle to the agent, with the requests of `crpe push`: the plan, the missing blobs, and the installation.
import { ApiError, authHeaders, get, readAnswer, request } from "./api.js";
import { BundleError, readSlice } from "./bundle_file.js";
import { S } from "./strings.js";

// When a connection is cut, the browser may send the request again by itself, from its first byte: a chunk is what a cut can
// cost. Small uploads have small chunks, so that ten cuts cost a few percent.
const MIN_CHUNK_BYTES = 64 * 1024;
const MAX_CHUNK_BYTES = 4 * 1024 * 1024;
const CHUNKS = 600;
const BUSY_MILLISECONDS = 1000;
const MAX_WAIT_MILLISECONDS = 15_000;
const MAX_CORRUPT = 2;

/** Asks what the installation would change. Unless it is a dry run, the package is pending from then on. */
export const sendPlan = (bundle, { dryRun, force, prune }) =>
  request("POST", `/kubepkgs/plan${query({ "dry-run": dryRun, force, "prune-data": prune })}`, {
    body: bundle.planBody,
  });

/**
 * Uploads what is missing and installs. A lost connection is retried until `signal` is aborted.
 *
 * @param onProgress called with `{ phase, bytes, total }`; the phase is sending, lost, busy or finishing
 */
export async function install(bundle, options) {
  if (bundle.locate === undefined) return await sendWhole(bundle, options);
  const { onProgress, signal, force, prune } = options;
  let total, failures = 0, corrupt = 0, before = Infinity;
  for (;;) {
    try {
      const plan = await sendPlan(bundle, { force, prune });
      const rest = plan.missing.reduce((sum, { size, offset }) => sum + size - offset, 0);
      if (rest < before) failures = 0;
      before = rest;
      total ??= rest;
      await sendMissing(bundle, plan.missing, {
        signal,
        onLeft: (left, phase = "sending") => onProgress({ phase, bytes: Math.max(0, total - left), total }),
      });
      onProgress({ phase: "finishing", bytes: total, total });
      const path = `/kubepkgs${query({ force, "prune-data": prune })}`;
      return await request("PUT", path, { body: bundle.installBody, signal });
    } catch (error) {
      if (signal.aborted || !(error instanceof ApiError)) throw error;
      // The agent deletes a blob with a wrong digest. Bytes may have changed in transit; twice is a damaged file.
      if (error.code === "CORRUPT" && ++corrupt >= MAX_CORRUPT) throw new BundleError(S.install.errors.damaged);
      if (!isTransient(error)) throw error;
      // A request fails in the same way when the file changed while it was read.
      await readSlice(bundle.file, 0, 1);
      if (error.status === 0 || error.status >= 500) {
        onProgress({ phase: "lost", bytes: total === undefined ? 0 : total - before, total });
      }
      await pause(Math.min(MAX_WAIT_MILLISECONDS, 500 * 2 ** failures++), signal);
    }
  }
}

// An offset that another client has moved, an upload of another client, a package that is pending no longer.
function isTransient({ status, code, detail }) {
  return status === 0 || [408, 423, 429, 502, 503, 504].includes(status) || code === "BLOB_UNKNOWN" ||
    code === "CORRUPT" || (code === "CONFLICT" && detail?.offset !== undefined);
}

async function sendMissing(bundle, missing, { signal, onLeft }) {
  const places = await bundle.locate(missing.map(({ digest }) => digest));
  let left = missing.reduce((sum, { size, offset }) => sum + size - offset, 0);
  const chunkBytes = Math.min(MAX_CHUNK_BYTES, Math.max(MIN_CHUNK_BYTES, Math.ceil(left / CHUNKS)));
  onLeft(left);
  for (const { digest, size, offset: known } of missing) {
    const { at, size: held } = places.get(digest);
    if (held !== size) throw new BundleError(S.install.errors.damaged);
    left -= size - known;
    for (let offset = known;;) {
      const state = await get(`/kubepkgs/blobs/${digest}`, signal);
      if (state.held) break;
      if (state.busy) {
        onLeft(left + size - state.offset, "busy");
        await pause(BUSY_MILLISECONDS, signal);
        continue;
      }
      offset = state.offset > size ? 0 : state.offset;
      // Chunks follow each other without asking again, unless one fails.
      do {
        onLeft(left + size - offset);
        offset = await sendChunk(bundle, { digest, at, size, offset, chunkBytes }, signal);
      } while (offset < size);
      break;
    }
    onLeft(left);
  }
}

async function sendChunk(bundle, { digest, at, size, offset, chunkBytes }, signal) {
  const end = Math.min(size, offset + chunkBytes);
  const range = offset === end ? `bytes */${size}` : `bytes ${offset}-${end - 1}/${size}`;
  const answer = await request("PUT", `/kubepkgs/blobs/${digest}`, {
    body: bundle.sliceOf(at + offset, end - offset),
    headers: { "content-range": range, "content-type": "application/octet-stream" },
    signal,
  });
  return answer.held ? size : answer.offset;
}

// A part of a split bundle, a list of packages, and a file of another program: fetch() reports no progress of a body.
function sendWhole({ file }, { onProgress, signal, force, prune }) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open("PUT", `/kubepkgs${query({ force, "prune-data": prune })}`);
    for (const [name, value] of Object.entries({ accept: "application/json", ...authHeaders() })) {
      xhr.setRequestHeader(name, value);
    }
    xhr.upload.onprogress = ({ loaded }) =>
      onProgress({ phase: loaded < file.size ? "sending" : "finishing", bytes: loaded, total: file.size });
    xhr.onload = () => {
      try {
        resolve(readAnswer(xhr.status, xhr.responseText));
      } catch (error) {
        reject(error);
      }
    };
    xhr.onerror = () => readSlice(file, 0, 1).then(() => reject(new ApiError(0)), reject);
    xhr.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => xhr.abort());
    xhr.send(file);
  });
}

function query(switches) {
  const names = Object.keys(switches).filter((name) => switches[name]);
  return names.length === 0 ? "" : `?${names.map((name) => `${name}=true`).join("&")}`;
}

// A phone that wakes up, or is online again, does not wait for the rest of the time.
function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const done = (settle) => () => {
      clearTimeout(timer);
      removeEventListener("online", wake);
      document.removeEventListener("visibilitychange", wake);
      signal.removeEventListener("abort", abort);
      settle();
    };
    const [wake, abort] = [done(resolve), done(() => reject(signal.reason))];
    const timer = setTimeout(wake, milliseconds);
    addEventListener("online", wake);
    document.addEventListener("visibilitychange", wake);
    signal.addEventListener("abort", abort);
  });
}
