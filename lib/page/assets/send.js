// Sends a bundle of the outbox to an agent: the plan first, then a bar.
import { html, useEffect, useState } from "./preact.js";
import { request } from "./api.js";
import { describe, Plan } from "./install.js";
import { formatSize, Notice, Row } from "./parts.js";
import { S } from "./strings.js";

const T = S.nodes;

// A page that was reloaded finds a job that is running.
function useSending({ node, bundle, jobs, onDone, onError }) {
  const [state, setState] = useState({});
  const path = `/api/nodes/${encodeURIComponent(node.url)}`;
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
  return {
    state,
    job,
    plan: (force) => run(async () => ({ force, plan: await request("POST", `${path}/plan${query(force)}`) })),
    send: (force) => run(async () => ({ job: (await request("POST", `${path}/send${query(force)}`)).id })),
    ask: (more) => setState(more),
    stop: () => request("DELETE", `/api/jobs/${job.id}`).catch(onError),
  };
}

/**
 * A bundle that an agent does not have.
 *
 * @param node the agent
 * @param installed the version that it has, if any
 * @param jobs what the server works on
 */
export function Send({ node, bundle, installed, ...options }) {
  const [{ name, version }] = bundle.packages;
  const sending = useSending({ node, bundle, ...options });
  const { state, job, plan, send, ask } = sending;
  const canForce = state.error?.code === "CONFLICT";
  return html`
    <ul class="rows">
      <${Row} dot="off" title=${installed === undefined ? name : undefined}
        text=${html`<${Change} from=${installed} to=${version} /> · ${formatSize(bundle.size)}`}>
            ${job?.state !== "running" && state.plan === undefined && html`
              <button disabled=${state.isBusy}
                aria-label=${state.isBusy ? undefined : T.planOf(name, version, node.node ?? node.url)} onClick=${() =>
                  plan(false)}>${state.isBusy ? T.planning : T.plan(version)}</button>
            `}<//></ul>
    ${state.plan !== undefined && html`
      <${Plan} plan=${state.plan} />
      <div class="buttons"><button onClick=${() => send(state.force)}>${state.force ? T.sendForce : T.send}</button>
              <button class="quiet" onClick=${() => ask({})}>${S.releases.cancel}</button></div>
    `}
    <${Outcome} ...${sending} />
    ${canForce &&
      html`<div class="buttons"><button class="danger" onClick=${() => plan(true)}>${T.sendForce}</button></div>`}
  `;
}

/**
 * A bundle of several packages. It is sent whole, so that the agent is not asked for a plan: that would send it twice.
 *
 * @param versionOf gives the version that the agent has of a package
 */
export function SendSeveral({ node, bundle, versionOf, ...options }) {
  const sending = useSending({ node, bundle, ...options });
  const { state, job, send, ask } = sending;
  const canForce = job?.state === "failed";
  const canSend = job?.state !== "running" && !state.isAsking;
  return html`
    <ul class="rows">${bundle.packages.map((one, i) =>
      html`<${Row} dot="off" title=${one.name} text=${html`<${Change} from=${versionOf(one)} to=${one.version} />`}>
        ${
        i === 0 && canSend && html`
          <button disabled=${state.isBusy}
            aria-label=${T.sendSeveralOf(bundle.packages.length, node.node ?? node.url)} onClick=${() =>
              ask({ isAsking: true })}>${T.sendSeveral(bundle.packages.length)}</button>
        `
      }<//>`
    )}</ul>
    ${state.isAsking && html`
      <p class="gap">${T.whole(formatSize(bundle.size))}</p>
      <div class="buttons"><button onClick=${() => send(false)}>${T.send}</button>
              <button class="quiet" onClick=${() => ask({})}>${S.releases.cancel}</button></div>
    `}
    <${Outcome} ...${sending} />
    ${canForce &&
      html`<div class="buttons"><button class="danger" onClick=${() => send(true)}>${T.sendForce}</button></div>`}
  `;
}

const Change = ({ from, to }) => html`<span class="arrow">${from ?? T.notInstalled} → <em>${to}</em></span>`;

function Outcome({ state, job, stop }) {
  return html`
    ${job?.state === "running" && html`<${Bar} job=${job} onStop=${stop} />`}
    ${job?.state === "done" &&
      (job.result.packages ?? [job.result]).map((one) => html`<${Notice}>${describe(one)}<//>`)}
    ${job?.state === "stopped" && html`<${Notice} kind="warn">${T.stopped}<//>`}
    ${job?.state === "failed" && html`<${Notice} kind="bad">${job.error}<//>`}
    ${state.error && html`<${Notice} kind="bad">${state.error.message}<//>`}
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
