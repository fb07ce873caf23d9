import { html, useEffect, useState } from "./preact.js";
import { get, getToken, request } from "./api.js";
import { copyText, Empty, Figure, formatSize, Loaded, Notice, Pill, Row, useResource } from "./parts.js";
import { Qr } from "./qr.js";
import { S } from "./strings.js";

const PAGE_ROWS = 50;
const DOTS = { ok: "", warning: "warn", broken: "bad", skipped: "off" };

/** What the server is and does, and how to open the page on a phone. */
export function Overview({ status, access }) {
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

/** The tagged images. Only a page of them is in the document. */
export function Images({ onTitle, onError }) {
  const T = S.images;
  const resource = useResource("/api/images", { interval: 15_000, onError });
  const [query, setQuery] = useState("");
  const [shown, setShown] = useState(PAGE_ROWS);
  const [copied, setCopied] = useState(undefined);
  const images = resource.value?.images;
  useEffect(() => {
    if (images === undefined) return;
    const incomplete = images.filter(({ isComplete }) => !isComplete).length;
    onTitle(undefined, {
      text: T.summary(images.length, formatSize(images.reduce((sum, { size }) => sum + size, 0))),
      pill: incomplete === 0 ? undefined : T.incomplete(incomplete),
      kind: "warn",
    });
  }, [images]);
  return html`<${Loaded} resource=${resource}>${({ images }) => {
    if (images.length === 0) return html`<${Empty} title=${T.none} text=${T.noneHelp} />`;
    const found = images.filter(({ reference }) => reference.includes(query.trim()));
    return html`
      <section class="span"><input type="search" aria-label=${T.search} placeholder=${T.search} value=${query}
              onInput=${(event) => (setQuery(event.target.value), setShown(PAGE_ROWS))} /></section>
      <section class="span">${found.length === 0 ? html`<p class="soft">${T.noMatch}</p>` : html`<ul class="rows">
        ${
        found.slice(0, shown).map((image) =>
          html`
            <${Row} key=${image.reference} dot=${image.isComplete ? "" : "warn"} title=${image.reference}
              text=${[
                image.platforms.join(", "),
                formatSize(image.size),
                image.packages.length > 0 && `${T.usedBy} ${image.packages.join(", ")}`,
              ].filter(Boolean).join(" · ")}>
                      ${!image.isComplete && html`<${Pill} kind="warn">${T.partial}<//>`}
                      <button class="quiet" aria-label=${T.copyOf(image.reference)} onClick=${() =>
                        copyText(`docker pull ${location.host}/${image.reference}`) && setCopied(image.reference)}>
                        ${copied === image.reference ? T.copied : T.copy}</button><//>
          `
        )
      }</ul>`}
              ${found.length > shown &&
                html`<button class="quiet wide" onClick=${() => setShown(shown + PAGE_ROWS)}>${
                  T.more(Math.min(PAGE_ROWS, found.length - shown))
                }</button>`}
            </section>
    `;
  }}<//>`;
}

/** The upstreams: what was asked, and a test of each. */
export function Registries({ status, onError }) {
  const T = S.registries;
  const [test, setTest] = useState({});
  const run = async () => {
    setTest({ isRunning: true });
    try {
      setTest({ findings: (await get("/api/doctor")).findings.filter(({ step }) => step.startsWith("upstream")) });
    } catch (error) {
      onError(error);
      setTest({ error });
    }
  };
  return html`
    <section><h2>${T.asked}</h2>${status.registries.length === 0
      ? html`<b>${T.none}</b><p class="soft">${T.noneHelp}</p>`
      : html`<ul class="rows">${
        status.registries.map(({ host, requests, errors }) =>
          html`<${Row} key=${host} dot=${errors === 0 ? "" : requests > errors ? "warn" : "bad"} title=${host} text=${
            T.counts(requests, errors)
          } />`
        )
      }</ul>`}</section>
    <section><h2>${T.result}</h2>
          ${test.error && html`<${Notice} kind="bad">${test.error.message}<//>`}
          ${test.isRunning && html`<p class="soft" role="status">${T.testing}</p>`}
          ${test.findings && html`<${Findings} findings=${test.findings} />`}
          <div class="buttons"><button class="quiet" disabled=${test.isRunning} onClick=${run}>${T
            .test}</button></div></section>
  `;
}

const Findings = ({ findings }) =>
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
