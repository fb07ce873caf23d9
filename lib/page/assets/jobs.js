// Work of the server that continues without the page.
import { html, useEffect, useRef, useState } from "./preact.js";
import { get, request } from "./api.js";
import { formatSize, Notice } from "./parts.js";
import { S } from "./strings.js";

const T = S.jobs;
const POLL_MILLISECONDS = 1000;

/**
 * The jobs of a kind that are running, and those that have failed.
 *
 * @param texts the texts `starting` and `running` of the kind
 * @param onDone called when one has ended well
 */
export function Jobs({ kind, texts, onDone, onError }) {
  const [jobs, setJobs] = useState([]);
  const done = useRef(undefined);
  useEffect(() => {
    let timer, isOver = false;
    const poll = async () => {
      try {
        const mine = (await get("/api/jobs")).jobs.filter((job) => job.kind === kind);
        if (isOver) return;
        setJobs(mine);
        const count = mine.filter(({ state }) => state === "done").length;
        if (done.current !== undefined && count !== done.current) onDone();
        done.current = count;
      } catch (error) {
        onError(error);
      }
      if (!isOver) timer = setTimeout(poll, POLL_MILLISECONDS);
    };
    poll();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, []);
  const shown = jobs.filter(({ state }) => state === "running" || state === "failed");
  return html`<div class="place">${
    shown.map((job) => html`<${Job} key=${job.id} job=${job} texts=${texts} onError=${onError} />`)
  }</div>`;
}

function Job({ job: { id, title, state, bytes, total, error }, texts, onError }) {
  const end = () => request("DELETE", `/api/jobs/${id}`).catch(onError);
  return html`
    <section class="span">
      <h2>${title}</h2>
      ${state === "failed" ? html`<${Notice} kind="bad">${error}<//>` : html`
        <p role="status">${bytes === undefined ? texts.starting : texts.running}</p>
        <p class="soft">${bytes === undefined || total === undefined
          ? "\u00a0"
          : S.install.sent(formatSize(bytes), formatSize(total))}</p>
        <progress aria-label=${texts.running} max=${total || 1} value=${bytes}></progress>
      `}
      <div class="buttons"><button class="quiet" onClick=${end}>${state === "failed"
        ? T.dismiss
        : T.stop}</button></div>
    </section>
  `;
}
