import { html, useEffect, useState } from "./preact.js";
import { getToken, request } from "./api.js";
import { Bar, Jobs } from "./jobs.js";
import { copyText, Figure, formatSize, Loaded, Notice, Pill, Row, useResource, useWork } from "./parts.js";
import { Qr } from "./qr.js";
import { Inventory } from "./site.js";
import { S } from "./strings.js";

const MAX_RUNNING = 20;
const DOTS = { ok: "", warning: "warn", broken: "bad", skipped: "off" };

/** What the server is and does, and how to open the page on a phone. */
export function Overview({ status, access, onError }) {
  const T = S.overview;
  const { bucket } = status;
  const rows = [
    [T.node, status.node],
    [T.version, `crpe ${status.version}`],
    [T.bucket, bucket?.name],
    [T.data, status.data],
    [T.platforms, status.platforms?.join(", ")],
    [T.addresses, status.addresses.join(", ")],
  ];
  return html`
    ${status.problem !== undefined && html`
      <section class="span">
        <${Notice} kind="warn">${status.problem}<//></section>
    `}
    <section class="span">
      <div class="figures">
        ${bucket === undefined
          ? html`
            <${Figure} value=${formatSize(status.storeBytes)}
              label=${status.cacheMax === undefined ? T.store : T.storeOf(formatSize(status.cacheMax))} />
          `
          : bucket.copiesMax !== undefined && html`
            <${Figure} value=${formatSize(bucket.copiesBytes)} label=${T.copiesOf(formatSize(bucket.copiesMax))} />
          `}
        <${Figure} value=${formatSize(status.freeBytes)} label=${T.free} />
        <${Figure} value=${formatSize(status.servedBytes)} label=${T.served} />
        <${Figure} value=${T.hits(status.hits, status.hits + status.misses)}
          label=${T.fetched(formatSize(status.receivedBytes))} />
      </div>
    </section>
    <${Transfers} status=${status} onError=${onError} />
    ${access.installs && html`
      <section
        class="span"><a class="button wide" href="#/install">${T.install}</a><p class="soft gap">${T
          .installHelp}</p></section>
    `}
    ${access.packs && html`
      <section
        class="span"><a class="button wide" href="#/pack">${S.pack.title}</a><p class="soft gap">${T
          .packHelp}</p></section>
    `}
    <section>
      <h2>${T.about}</h2>
      <ul class="rows">
      ${rows.filter(([, text]) => text).map(([title, text]) => html`<${Row} title=${title} text=${text} />`)}</ul>
    </section>
    <${Upstreams} status=${status} />
    ${status.link !== undefined && html`<${Link} link=${status.link} />`}
    ${status.peers !== undefined && html`<${Peers} peers=${status.peers} />`}
    <${Phone} access=${access} onError=${onError} />
    ${access.installs && html`<${Inventory} node=${status.node} onError=${onError} />`}
  `;
}

const TRANSFERS = {
  pack: { starting: S.pack.resolving, running: S.pack.packing },
  pull: { starting: S.images.resolving, running: S.images.pulling },
  send: { starting: S.nodes.starting, running: S.nodes.sending },
};

/** What is being transferred: the jobs of the page, the downloads for clients, and the number of responses. */
function Transfers({ status: { running, transfers }, onError }) {
  const T = S.overview;
  return html`
    <${Jobs} texts=${TRANSFERS} onError=${onError} />
    ${(running.length > 0 || transfers > 0) && html`
      <section class="span">
        <h2>${T.transfers}</h2>
        ${transfers > 0 && html`<p class="soft">${T.sendingTo(transfers)}</p>`}
        ${running.slice(0, MAX_RUNNING).map(({ repositories, digest, bytes, total }) =>
          html`
            <div key=${digest} class="gap">
              <b>${repositories.join(", ")}</b>
              <${Bar} label=${T.downloading(repositories[0])} bytes=${bytes} total=${total} />
            </div>
          `
        )}
        ${running.length > MAX_RUNNING && html`<p class="soft">… ${running.length - MAX_RUNNING}</p>`}
      </section>
    `}
  `;
}

/** The registries that were asked since the start. */
function Upstreams({ status: { registries, isOffline } }) {
  const T = S.overview;
  return html`
    <section>
      <h2>${T.upstreams}</h2>
      ${registries.length === 0 ? html`<p class="soft">${isOffline ? S.registries.offline : T.noUpstreams}</p>` : html`
        <ul class="rows">${registries.map(({ host, requests, errors }) =>
          html`
            <${Row} key=${host} dot=${dotOfUpstream(requests, errors)} title=${host}
              text=${S.registries.counts(requests, errors)} />
          `
        )}</ul>
      `}
      <div class="buttons"><a class="button quiet" href="#/registries">${S.screens.registries}</a></div>
    </section>
  `;
}

/** The crpes that are found in the network, which are asked before the upstreams. */
function Peers({ peers }) {
  const T = S.overview;
  return html`
    <section>
      <h2>${T.peers}</h2>
      ${peers.length === 0 ? html`<p class="soft">${T.noPeers}</p>` : html`
        <ul class="rows">${peers.map((host) => html`<${Row} key=${host} dot="" title=${host} />`)}</ul>
      `}
    </section>
  `;
}

/** A thin or metered link: whether it may be used now, and what is used of its budgets. */
function Link({ link: { rate, windows, closedUntil, budgets } }) {
  const T = S.overview.link;
  const limits = [rate !== undefined && T.rate(formatSize(rate)), ...windows].filter(Boolean).join(", ");
  return html`
    <section>
      <h2>${T.title}</h2>
      <ul class="rows">
        <${Row} dot=${closedUntil === undefined ? "" : "warn"} text=${limits}
          title=${closedUntil === undefined ? T.open : T.closed(new Date(closedUntil).toLocaleString())} />
        ${budgets.map(({ host, period, bytes, used }) =>
          html`
            <${Row} key=${`${host} ${period}`} title=${T.periods[period](formatSize(bytes), host)}
              text=${T.used(formatSize(used))} dot=${used < bytes ? "" : "warn"} />
          `
        )}
      </ul>
    </section>
  `;
}

/** The state of a registry by what it has answered. */
export const dotOfUpstream = (requests, errors) =>
  requests + errors === 0 ? "off" : errors === 0 ? "" : requests > errors ? "warn" : "bad";

function Phone({ access, onError }) {
  const T = S.overview;
  const { state: { code, error }, run } = useWork(onError);
  const isLoopback = /^(localhost|127\.|\[::1\])/.test(location.hostname);
  const url = code === undefined ? `${location.origin}/` : `${location.origin}/#t=${code}`;
  const make = () => run(() => request("POST", "/api/codes"));
  return html`<section><h2>${T.phone}</h2>${
    isLoopback ? html`<p class="soft">${T.loopback}</p>` : html`
      <div class="row">
        <${Qr} text=${url} label=${T.qr} />
        <div class="grow"><b>${location.origin}</b>
            <p>${code === undefined ? T.phoneHelp : T.phoneCode}</p></div>
      </div>
            ${error && html`<${Notice} kind="bad">${error.message}<//>`}
            ${getToken() !== null && access.changes === "token" &&
              html`<div class="buttons"><button class="quiet" onClick=${make}>${T.makeCode}</button></div>`}
    `
  }</section>`;
}

/** What was found, each with what to do. */
export const Findings = ({ findings }) =>
  html`<ul class="rows">${
    findings.map(({ step, status, message, advice }) =>
      html`<${Row} dot=${DOTS[status]} title=${step} text=${advice === undefined ? message : `${message} → ${advice}`}>
    ${
        status !== "ok" &&
        html`<${Pill} kind=${{ broken: "bad", warning: "warn" }[status] ?? "plain"}>${S.doctor.status[status]}<//>`
      }<//>`
    )
  }</ul>`;

/** The findings of `crpe doctor`, for this machine or one image. */
export function Doctor({ onTitle, onError }) {
  const T = S.doctor;
  const [image, setImage] = useState("");
  const resource = useResource(`/api/doctor${image === "" ? "" : `?image=${encodeURIComponent(image)}`}`, { onError });
  const [isRunning, setRunning] = useState(false);
  const [isCopied, setCopied] = useState(false);
  const findings = resource.value?.findings;
  useEffect(() => {
    if (findings === undefined) return;
    const bad = findings.filter(({ status }) => status === "broken" || status === "warning").length;
    const text = bad === 0 ? T.well(findings.length) : T.broken(findings.length, bad);
    onTitle(undefined, { text, pill: bad === 0 ? S.states.well : S.states.trouble, kind: bad === 0 ? "" : "warn" });
  }, [findings]);
  const again = () => (setRunning(true), setCopied(false), resource.reload().finally(() => setRunning(false)));
  const copy = () =>
    setCopied(
      copyText(
        findings.map(({ step, status, message, advice }) =>
          `${status} ${step}: ${message}${advice === undefined ? "" : `\n  → ${advice}`}`
        ).join("\n"),
      ),
    );
  const ask = (event) => {
    event.preventDefault();
    const wanted = new FormData(event.target).get("image").trim();
    setCopied(false);
    if (wanted === image) again();
    else setImage(wanted);
  };
  return html`
    <section class="span">
      <form class="drop" onSubmit=${ask}>
        <label for="doctor-image">${T.image}</label>
        <input id="doctor-image" name="image" type="text" autocapitalize="off" autocomplete="off" spellcheck=${false}
          aria-describedby="doctor-image-help" placeholder="docker.io/library/nginx:1.27" />
        <p class="soft" id="doctor-image-help">${T.imageHelp}</p>
        <button class="quiet">${T.examine}</button>
      </form>
    </section>
    <${Loaded} resource=${resource}>${({ findings }) =>
      html`
        <section class="span" aria-live="polite">
          <h2 class=${image === "" ? "" : "name"}>${image === "" ? T.findings : T.findingsOf(image)}</h2>
          <${Findings} findings=${findings} />
          <div class="buttons"><button disabled=${isRunning} onClick=${again}>${isRunning ? T.running : T.run}</button>
              <button class="quiet" onClick=${copy}>${isCopied ? S.images.copied : T.copy}</button></div>
        </section>
      `}<//>
  `;
}
