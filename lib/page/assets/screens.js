import { html, useEffect, useState } from "./preact.js";
import { getToken, request } from "./api.js";
import { copyText, Figure, formatSize, Loaded, Notice, Pill, Row, useResource } from "./parts.js";
import { Qr } from "./qr.js";
import { Inventory } from "./site.js";
import { S } from "./strings.js";

const DOTS = { ok: "", warning: "warn", broken: "bad", skipped: "off" };

/** What the server is and does, and how to open the page on a phone. */
export function Overview({ status, access, onError }) {
  const T = S.overview;
  const rows = [[T.node, status.node], [T.version, `crpe ${status.version}`], [T.data, status.data], [
    T.platforms,
    status.platforms?.join(", "),
  ], [T.addresses, status.addresses.join(", ")]];
  return html`
    ${status.problem !== undefined && html`
      <section class="span">
        <${Notice} kind="warn">${status.problem}<//></section>
    `}
    <section class="span">
      <div class="figures">
        <${Figure} value=${formatSize(status.freeBytes)} label=${T.free} />
        <${Figure} value=${status.cacheMax === undefined
          ? "∞"
          : formatSize(status.cacheMax)} label=${status.cacheMax === undefined ? T.noLimit : T.limit} />
        <${Figure} value=${formatSize(status.servedBytes)} label=${T.served} />
        <${Figure} value=${formatSize(status.receivedBytes)} label=${T.received} />
      </div>
    </section>
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
    <${Phone} access=${access} />
    ${access.installs && html`<${Inventory} node=${status.node} onError=${onError} />`}
  `;
}

function Phone({ access }) {
  const T = S.overview;
  const [code, setCode] = useState(undefined);
  const [error, setError] = useState(undefined);
  const isLoopback = /^(localhost|127\.|\[::1\])/.test(location.hostname);
  const url = code === undefined ? `${location.origin}/` : `${location.origin}/#t=${code}`;
  const make = () => request("POST", "/api/codes").then(({ code }) => setCode(code), setError);
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

/** The findings of `crpe doctor`. */
export function Doctor({ onTitle, onError }) {
  const T = S.doctor;
  const resource = useResource("/api/doctor", { onError });
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
  return html`<${Loaded} resource=${resource}>${({ findings }) =>
    html`
      <section class="span">
        <h2>${T.findings}</h2>
        <${Findings} findings=${findings} />
        <div class="buttons"><button disabled=${isRunning} onClick=${again}>${isRunning ? T.running : T.run}</button>
            <button class="quiet" onClick=${copy}>${isCopied ? S.images.copied : T.copy}</button></div>
      </section>
    `}<//>`;
}
