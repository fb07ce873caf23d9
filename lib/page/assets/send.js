// Sends a bundle of the outbox to an agent: the plan first, then a bar.
import { html, useEffect } from "./preact.js";
import { isOverruledBy, request } from "./api.js";
import { describe, Plan } from "./install.js";
import { Bar } from "./jobs.js";
import { formatSize, Notice, Pill, Row, useWork } from "./parts.js";
import { S } from "./strings.js";

const T = S.nodes;

// A page that was reloaded finds a job that is running.
function useSending({ node, bundle, jobs, onDone, onError }) {
  const { state, show, run } = useWork(onError);
  const path = `/api/nodes/${encodeURIComponent(node.url)}`;
  const job = jobs.find(({ id, kind, node: url, title, state: now }) =>
    kind === "send" && url === node.url && title === bundle.digest && (now === "running" || id === state.job)
  );
  useEffect(() => {
    if (job?.state === "done") onDone();
  }, [job?.state]);
  const query = (force) => `?bundle=${bundle.digest}${force ? "&force=true" : ""}`;
  return {
    state,
    job,
    plan: (force) => run(async () => ({ force, plan: await request("POST", `${path}/plan${query(force)}`) })),
    send: (force) => run(async () => ({ job: (await request("POST", `${path}/send${query(force)}`)).id })),
    ask: show,
    stop: () => request("DELETE", `/api/jobs/${job.id}`).catch(onError),
  };
}

/**
 * A bundle that an agent does not have.
 *
 * @param node the agent
 * @param installed what it has of the package, if anything
 * @param jobs what the server works on
 */
export function Send({ node, bundle, installed, ...options }) {
  const [{ name, version }] = bundle.packages;
  const sending = useSending({ node, bundle, ...options });
  const { state, job, plan, send, ask } = sending;
  const isLower = isDowngrade(bundle, installed);
  const [label, labelOf] = isLower ? [T.planLower, T.planLowerOf] : [T.plan, T.planOf];
  const canForce = [state.error, job].some((failure) => isOverruledBy("force", failure));
  return html`
    <ul class="rows">
      <${Row} dot="off" title=${installed === undefined ? name : undefined}
        text=${html`<${Change} from=${installed?.version} to=${version} /> · ${formatSize(bundle.size)}`}>
            ${isLower && html`<${Pill} kind="warn">${S.install.verdicts.downgrade}<//>`}
            ${job?.state !== "running" && state.plan === undefined && html`
              <button class=${isLower ? "quiet" : ""} disabled=${state.isBusy}
                aria-label=${state.isBusy ? undefined : labelOf(name, version, node.node ?? node.url)} onClick=${() =>
                  plan(false)}>${state.isBusy ? T.planning : label(version)}</button>
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
 * @param installedOf gives what the agent has of a package
 */
export function SendSeveral({ node, bundle, installedOf, ...options }) {
  const sending = useSending({ node, bundle, ...options });
  const { state, job, send, ask } = sending;
  const canForce = isOverruledBy("force", job);
  const canSend = job?.state !== "running" && !state.isAsking;
  return html`
    <ul class="rows">${bundle.packages.map((one, i) =>
      html`
        <${Row} dot="off" title=${one.name}
          text=${html`<${Change} from=${installedOf(one)?.version} to=${one.version} />`}>
                ${isDowngrade(bundle, installedOf(one)) &&
                  html`<${Pill} kind="warn">${S.install.verdicts.downgrade}<//>`}
                ${i === 0 && canSend && html`
                  <button disabled=${state.isBusy}
                    aria-label=${T.sendSeveralOf(bundle.packages.length, node.node ?? node.url)} onClick=${() =>
                      ask({ isAsking: true })}>${T.sendSeveral(bundle.packages.length)}</button>
                `}<//>
      `
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

const isDowngrade = (bundle, installed) => installed?.lower?.includes(bundle.digest) === true;

const Change = ({ from, to }) => html`<span class="arrow">${from ?? T.notInstalled} → <em>${to}</em></span>`;

function Outcome({ state, job, stop }) {
  return html`
    ${job?.state === "running" && html`<${Sending} job=${job} onStop=${stop} />`}
    ${job?.state === "done" &&
      (job.result.packages ?? [job.result]).map((one) => html`<${Notice}>${describe(one)}<//>`)}
    ${job?.state === "done" &&
      (job.result.warnings ?? []).map((warning) => html`<${Notice} kind="warn">${warning}<//>`)}
    ${job?.state === "stopped" && html`<${Notice} kind="warn">${T.stopped}<//>`}
    ${job?.state === "failed" && html`<${Notice} kind="bad">${job.error}<//>`}
    ${state.error && html`<${Notice} kind="bad">${state.error.message}<//>`}
  `;
}

function Sending({ job: { bytes, total }, onStop }) {
  return html`
    <p role="status">${bytes === undefined || total === undefined ? T.starting : T.sending}</p>
    <${Bar} label=${T.sending} bytes=${bytes} total=${total} />
    <div class="buttons"><button class="quiet" onClick=${onStop}>${T.stop}</button></div>
  `;
}
