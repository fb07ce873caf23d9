// Work of the server that continues without the page.
import { html, useEffect, useRef, useState } from "./preact.js";
import { get, request } from "./api.js";
import { formatSize, Notice } from "./parts.js";
import { S } from "./strings.js";

const T = S.jobs;
const POLL_MILLISECONDS = 1000;

/**
 * The jobs that are running, and those that have failed.
 *
 * @param texts the texts `starting` and `running` of each kind that is shown
 * @param onDone called when one has ended well
 */
export function Jobs({ texts, onDone = () => {}, onError }) {
  const [jobs, setJobs] = useState([]);
  const done = useRef(undefined);
  useEffect(() => {
    let timer, isOver = false;
    const poll = async () => {
      if (document.visibilityState === "visible") await read();
      if (!isOver) timer = setTimeout(poll, POLL_MILLISECONDS);
    };
    const read = async () => {
      try {
        const mine = (await get("/api/jobs")).jobs.filter(({ kind }) => texts[kind] !== undefined);
        if (isOver) return;
        setJobs(mine);
        const count = mine.filter(({ state }) => state === "done").length;
        if (done.current !== undefined && count !== done.current) onDone();
        done.current = count;
      } catch (error) {
        onError(error);
      }
    };
    poll();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, []);
  const shown = jobs.filter(({ state }) => state === "running" || state === "failed");
  return html`<div class="place">${
    shown.map((job) => html`<${Job} key=${job.id} job=${job} texts=${texts[job.kind]} onError=${onError} />`)
  }</div>`;
}

/** How much of something was transferred. */
export const Bar = ({ label, bytes, total }) =>
  html`
    <p class="soft">${bytes === undefined || total === undefined
      ? "\u00a0"
      : S.install.sent(formatSize(bytes), formatSize(total))}</p>
    <progress aria-label=${label} max=${total || 1} value=${total === undefined ? undefined : bytes}></progress>
  `;

function Job({ job: { id, title, node, state, bytes, total, error }, texts, onError }) {
  const end = () => request("DELETE", `/api/jobs/${id}`).catch(onError);
  return html`
    <section class="span">
      <h2 class="name">${node ?? title}</h2>
      ${state === "failed" ? html`<${Notice} kind="bad">${error}<//>` : html`
        <p role="status">${bytes === undefined ? texts.starting : texts.running}</p>
        <${Bar} label=${texts.running} bytes=${bytes} total=${total} />
      `}
      <div class="buttons"><button class="quiet" onClick=${end}>${state === "failed"
        ? T.dismiss
        : T.stop}</button></div>
    </section>
  `;
}
