// Sends a bundle of the outbox to an agent: the plan first, then a bar.
import { html, useEffect, useState } from "./preact.js";
import { request } from "./api.js";
import { describe, Plan } from "./install.js";
import { formatSize, Notice, Row } from "./parts.js";
import { S } from "./strings.js";

const T = S.nodes;

/**
 * A bundle that an agent does not have.
 *
 * @param node the agent
 * @param installed the version that it has, if any
 * @param jobs what the server works on
 */
export function Send({ node, bundle, installed, jobs, onDone, onError }) {
  const [{ name, version }] = bundle.packages;
  const [state, setState] = useState({});
  const path = `/api/nodes/${encodeURIComponent(node.url)}`;
  // A page that was reloaded finds a job that is running.
  const job = jobs.find(({ id, kind, node: url, title, state: now }) =>
    kind === "send" && url === node.url && title === bundle.digest && (now === "running" || id === state.job)
  );
  useEffect(() => {
    if (job?.state === "done") onDone();
  }, [job?.state]);
  const run = async (work) => {
    setState({ isBusy: true });
    try {
      setState(await work());
    } catch (error) {
      onError(error);
      setState({ error });
    }
  };
  const query = (force) => `?bundle=${bundle.digest}${force ? "&force=true" : ""}`;
  const plan = (force) => run(async () => ({ force, plan: await request("POST", `${path}/plan${query(force)}`) }));
  const send = () => run(async () => ({ job: (await request("POST", `${path}/send${query(state.force)}`)).id }));
  const stop = () => request("DELETE", `/api/jobs/${job.id}`).catch(onError);
  const isRunning = job?.state === "running";
  const canForce = state.error?.code === "CONFLICT";
  return html`
    <ul class="rows">
      <${Row} dot="off" title=${installed === undefined ? name : undefined}
        text=${html`<span class="arrow">${installed ?? T.notInstalled} → <em>${version}</em></span> · ${
          formatSize(bundle.size)
        }`}>
            ${!isRunning && state.plan === undefined && html`
              <button disabled=${state.isBusy}
                aria-label=${T.planOf(name, version, node.node ?? node.url)} onClick=${() => plan(false)}>${state.isBusy
                  ? T.planning
                  : T.plan(version)}</button>
            `}<//></ul>
    ${state.plan !== undefined && html`
      <${Plan} plan=${state.plan} />
      <div class="buttons"><button onClick=${send}>${state.force ? T.sendForce : T.send}</button>
              <button class="quiet" onClick=${() => setState({})}>${S.releases.cancel}</button></div>
    `}
    ${isRunning && html`<${Bar} job=${job} onStop=${stop} />`}
    ${job?.state === "done" && html`<${Notice}>${describe(job.result)}<//>`}
    ${job?.state === "stopped" && html`<${Notice} kind="warn">${T.stopped}<//>`}
    ${job?.state === "failed" && html`<${Notice} kind="bad">${job.error}<//>`}
    ${state.error && html`<${Notice} kind="bad">${state.error.message}<//>`}
    ${canForce &&
      html`<div class="buttons"><button class="danger" onClick=${() => plan(true)}>${T.sendForce}</button></div>`}
  `;
}

function Bar({ job: { bytes, total }, onStop }) {
  const isKnown = bytes !== undefined && total !== undefined;
  return html`
    <p role="status">${isKnown ? T.sending : T.starting}</p>
    <p class="soft">${isKnown ? S.install.sent(formatSize(bytes), formatSize(total)) : "\u00a0"}</p>
    <progress aria-label=${T.sending} max=${total || 1} value=${isKnown ? bytes : undefined}></progress>
    <div class="buttons"><button class="quiet" onClick=${onStop}>${T.stop}</button></div>
  `;
}
