// Parts that the screens share.
import { html, useCallback, useEffect, useRef, useState } from "./preact.js";
import { get } from "./api.js";
import { S } from "./strings.js";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Formats a number of bytes as crpe does: `3.1 MiB`. */
export function formatSize(bytes) {
  if (bytes === undefined || bytes === null) return S.overview.unknown;
  let unit = 0;
  for (; bytes >= 1024 && unit < UNITS.length - 1; unit++) bytes /= 1024;
  return `${unit === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${UNITS[unit]}`;
}

export const Pill = ({ kind = "", children }) => html`<span class=${`pill ${kind}`}>${children}</span>`;

// Long names of images break after a slash, and before a tag or a digest.
const breakable = (name) =>
  name.split(/(?<=\/)|(?=[:@])/).flatMap((part, i) => i === 0 ? [part] : [html`<wbr />`, part]);

/** A row of a list. Its state is said in words too, because colours alone say nothing to some. */
export const Row = ({ dot, title, text, children }) =>
  html`<li class="row">
    ${dot === undefined ? null : html`<span class=${`dot ${dot}`} aria-hidden="true"></span>`}
    <div class="grow"><b>${typeof title === "string" ? breakable(title) : title}</b>${
    text === undefined ? null : html`<p>${text}</p>`
  }</div>
    ${children}
  </li>`;

export const Figure = ({ value, label }) => html`<div><strong>${value}</strong><span>${label}</span></div>`;

export const Notice = ({ kind = "", children }) =>
  html`<div class=${`notice ${kind}`} role=${kind === "bad" ? "alert" : "status"}>${children}</div>`;

export const Empty = ({ title, text, children }) =>
  html`<section class="span"><b>${title}</b><p class="soft">${text}</p>${children}</section>`;

const STEPS = [[60_000, "minutes"], [3_600_000, "hours"], [86_400_000, "days"]];

/** A time as it is said, with the exact one on hover. */
export function Time({ of }) {
  const age = Date.now() - Date.parse(of);
  const [size, unit] = STEPS.findLast(([size]) => age >= size) ?? [];
  return html`<time datetime=${of} title=${new Date(of).toLocaleString()}>${
    unit === undefined ? S.time.now : S.time[unit](Math.floor(age / size))
  }</time>`;
}

/** Shows a resource: while it loads, when it failed, and with `children` as a function of its value. */
export function Loaded({ resource: { value, error, reload }, children }) {
  const failed = () =>
    html`
      <section class="span">
        <${Notice} kind="bad">${error.message}<//>
        <div class="buttons"><button onClick=${reload}>${S.retry}</button></div></section>
    `;
  // An element of its own keeps the place: what follows would otherwise come before a list that arrives later.
  return html`<div class="place">${
    value !== undefined
      ? children(value)
      : error === undefined
      ? html`<section class="span skeleton" aria-busy="true">${S.loading}</section>`
      : failed()
  }</div>`;
}

/** Reads a path of the API, and again every `interval` milliseconds while the page is visible. */
export function useResource(path, { interval, onError }) {
  const [state, setState] = useState({});
  const ticket = useRef(0);
  const load = useCallback(async () => {
    const mine = ++ticket.current;
    try {
      const value = await get(path);
      if (mine === ticket.current) setState({ value });
    } catch (error) {
      if (mine !== ticket.current) return;
      onError?.(error);
      // What was read before stays; the state of the header says that it is old.
      setState(({ value }) => ({ value, error }));
    }
  }, [path]);
  useEffect(() => {
    setState({});
    load();
    if (interval === undefined) return () => ticket.current++;
    const timer = setInterval(() => document.visibilityState === "visible" && load(), interval);
    return () => {
      ticket.current++;
      clearInterval(timer);
    };
  }, [load, interval]);
  return { ...state, reload: load };
}

/**
 * The state of work that a button starts: `isBusy` while it runs, `error` when it failed, and then what the work returns.
 * `run` starts it, and `show` sets the state directly.
 */
export function useWork(onError) {
  const [state, show] = useState({});
  const run = async (work) => {
    show({ isBusy: true });
    try {
      show(await work() ?? {});
    } catch (error) {
      onError(error);
      show({ error });
    }
  };
  return { state, show, run };
}

/** Copies a text. Without a secure context there is no clipboard API, so a selection is copied. */
export function copyText(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  area.className = "copy";
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  return isCopied;
}
