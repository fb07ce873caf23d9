// The screen that installs a bundle from a file in the browser.
import { html, useEffect, useRef, useState } from "./preact.js";
import { isOverruledBy } from "./api.js";
import { BundleError, openBundle } from "./bundle_file.js";
import { Figure, formatSize, Notice, Pill, Row } from "./parts.js";
import { S } from "./strings.js";
import { install, sendPlan } from "./upload.js";

const T = S.install;
const INTERRUPTED = "crpe-upload";
const MAX_SHOWN = 200;

export function Install({ onTitle, onError }) {
  const [state, setState] = useState({ step: "choose" });
  const [prune, setPrune] = useState(false);
  const work = useRef(undefined);
  const interrupted = sessionStorage.getItem(INTERRUPTED);
  useEffect(() => () => work.current?.abort(), []);
  useEffect(() => {
    // What had the focus may be gone: the next key, and a screen reader, begin at the heading.
    if (document.activeElement === document.body) document.querySelector("h1").focus();
    scrollTo(0, 0);
  }, [state.step]);
  useEffect(() => {
    const { bundle, plan } = state;
    onTitle(bundle?.name === undefined ? undefined : `${T.title} ${bundle.name} ${bundle.version}`, {
      text: bundle === undefined ? undefined : `${bundle.file.name} · ${T.size(formatSize(bundle.file.size))}`,
      pill: plan && (T.verdicts[plan.verdict] ?? plan.verdict),
      kind: plan && ["downgrade", "changed"].includes(plan.verdict) ? "warn" : "",
    });
  }, [state.bundle, state.plan]);

  const fail = (error, more = {}) => {
    onError(error);
    setState((state) => ({ ...state, ...more, step: "failed", error }));
  };

  const choose = async (file) => {
    if (file === undefined) return;
    setState({ step: "reading", file });
    try {
      const bundle = await openBundle(file);
      if (bundle.planBody === undefined) return setState({ step: "plan", file, bundle });
      setState({ step: "planning", file, bundle });
      await plan(bundle);
    } catch (error) {
      fail(error);
    }
  };

  const plan = async (bundle, { force = false, prune = false } = {}) => {
    setPrune(prune);
    try {
      const answer = await sendPlan(bundle, { dryRun: true, force, prune });
      setState({ step: "plan", file: bundle.file, bundle, plan: answer, force });
    } catch (error) {
      fail(error, { bundle });
    }
  };

  const start = async ({ force = state.force } = {}) => {
    const { bundle, plan } = state;
    const abort = work.current = new AbortController();
    sessionStorage.setItem(INTERRUPTED, bundle.file.name);
    const onProgress = (progress) => setState((state) => ({ ...state, step: "sending", progress }));
    onProgress({ phase: "sending", bytes: 0 });
    try {
      const result = await install(bundle, { signal: abort.signal, force, prune, onProgress });
      sessionStorage.removeItem(INTERRUPTED);
      setState({ step: "done", bundle, plan, result });
    } catch (error) {
      if (abort.signal.aborted) return setState({ step: "paused", bundle, plan, force });
      fail(error, { bundle, plan, force });
    }
  };

  const again = () => setState({ step: "choose" });
  const canForce = state.step === "failed" && !state.force && isOverruledBy("force", state.error);
  // Without a plan, the agent has refused the file itself.
  const force = () =>
    state.bundle.planBody === undefined ? start({ force: true }) : plan(state.bundle, { force: true });
  const isPlanned = state.plan !== undefined || state.bundle?.planBody === undefined;
  const canRetry = state.bundle !== undefined && !canForce && !(state.error instanceof BundleError);
  const planned = state.plan !== undefined && html`<${Plan} plan=${state.plan} />`;
  return html`
    ${state.step === "choose" && html`<${Chooser} interrupted=${interrupted} onChoose=${choose} />`}
    ${state.step === "reading" && html`<section class="span skeleton" aria-busy="true">${T.reading}</section>`}
    ${state.step === "planning" && html`<section class="span skeleton" aria-busy="true">${T.planning}</section>`}
    ${state.step === "plan" && planned}
    ${state.step === "plan" && html`<section class="span">
      ${state.plan === undefined && html`<p class="soft">${T.whole}</p>`}
      ${
      (prune || state.plan?.manifests?.kept?.length > 0) && html`<p><label><input type="checkbox" checked=${prune}
        onChange=${(event) =>
        plan(state.bundle, { force: state.force, prune: event.target.checked })} /> ${T.prune}</label></p>`
    }
      <div class="buttons">${
      isNothing(state.plan)
        ? html`<p>${T.same}</p>`
        : html`<button class="wide" onClick=${() => start()}>${
          state.force ? T.goForce : state.plan?.isRepair ? T.repair : T.go
        }</button>`
    }
        <button class="quiet" onClick=${again}>${T.other}</button></div>
      <p class="soft gap">${T.resume}</p></section>`}
    ${state.step === "sending" && html`<${Progress} progress=${state.progress} onStop=${() => work.current.abort()} />`}
    ${state.step === "paused" && html`
      <section class="span">
        <p>${T.paused}</p>
        <div
          class="buttons"><button onClick=${() => start()}>${T.goOn}</button><button class="quiet" onClick=${again}>${T
            .other}</button></div>
      </section>
    `}
    ${state.step === "done" && html`<${Done} result=${state.result} onAgain=${again} />`}
    ${state.step === "failed" && html`
      <section class="span">
        <${Notice} kind="bad">${state.error.message}<//>
            <div class="buttons">
              ${canRetry &&
                html`<button onClick=${() => isPlanned ? start() : plan(state.bundle, { prune })}>${S.retry}</button>`}
              ${canForce &&
                html`<button class="danger" onClick=${force}>${T.goForce}</button>`}
              <button class="quiet" onClick=${again}>${T.other}</button></div></section>
    `}
    ${["sending", "paused", "failed"].includes(state.step) && planned}
  `;
}

const isNothing = (plan) =>
  plan !== undefined && plan.verdict === "same" && !(plan.missing?.length > 0) && !plan.isRepair;

function Chooser({ interrupted, onChoose }) {
  return html`<section class="span drop">
    ${interrupted !== null && html`<${Notice}>${T.again(interrupted)}<//>`}
    <label for="bundle">${T.choose}</label>
    <input id="bundle" type="file" aria-describedby="bundle-help" onChange=${(event) =>
    onChoose(event.target.files[0])} />
    <p class="soft" id="bundle-help">${T.chooseHelp}</p></section>`;
}

// Who has signed the package; an agent of an earlier crpe does not say.
function origin({ state, keys = [] } = {}) {
  if (state === "trusted") return [T.signedBy([...new Set(keys.map(({ entry, id }) => entry ?? id))].join(", "))];
  return state === "signed" ? [T.notVerified] : [];
}

/** What an installation would change. */
export function Plan({ plan }) {
  const { installedVersion, version, verdict, blobs, freeBytes, missing = [], images = [], warnings = [] } = plan;
  // What a registry would send to an agent is in `toSend`; an agent lists what it lacks.
  const toSend = plan.toSend?.bytes ?? missing.reduce((sum, { size, offset }) => sum + size - offset, 0);
  const needed = formatSize(blobs.bytesToWrite);
  return html`
    <section class="span">
      <h2>${T.what}</h2>
      <div class="figures">
        <${Figure} value=${installedVersion === undefined || installedVersion === version
          ? version
          : `${installedVersion} → ${version}`}
          label=${T.verdicts[verdict] ?? verdict} />
        <${Figure} value=${formatSize(toSend)} label=${toSend === 0 ? T.nothing : T.upload} />
        <${Figure} value=${formatSize(freeBytes)} label=${freeBytes === undefined ? T.freeUnknown : T.free(needed)} />
        <${Figure} value=${images.length} label=${T.imageCount(images.length)} />
      </div>
    </section>
        ${origin(plan.trust).map((line) =>
          html`
            <section class="span">
              <p class="soft">${line}</p>
            </section>
          `
        )}
        ${warnings.map((warning) =>
          html`
            <section class="span">
              <${Notice} kind="warn">${warning}<//></section>
          `
        )}
        <section>
      <h2>${T.objects}</h2>
      <${Objects} manifests=${plan.manifests} />
    </section>
        <section>
      <h2>${T.images}</h2>
      <ul class="rows">${images.slice(0, MAX_SHOWN).map(({ reference, platforms = [] }) =>
        html`<${Row} title=${reference} text=${platforms.join(", ") || undefined} />`
      )}</ul>
    </section>
  `;
}

const MARKS = { added: ["add", "+"], changed: ["mod", "~"], removed: ["del", "−"], kept: ["keep", "="] };

/** What happens to the objects in the cluster. */
export function Objects({ manifests = {} }) {
  const lines = Object.entries(MARKS).flatMap(([key, [kind, mark]]) =>
    (manifests[key] ?? []).map((one) => ({ key, kind, text: `${mark} ${one.object ?? one}` }))
  );
  if (lines.length === 0) return html`<p class="soft">${T.noObjects}</p>`;
  const more = lines.length - MAX_SHOWN;
  return html`<ul class="diff">
    ${
    lines.slice(0, MAX_SHOWN).map(({ key, kind, text }) =>
      html`<li class=${kind}>${text} ${key === "kept" && html`<${Pill} kind="plain">${T.kept}<//>`}</li>`
    )
  }
    ${more > 0 && html`<li class="keep">… ${more}</li>`}</ul>`;
}

function Progress({ progress: { phase, bytes, total }, onStop }) {
  const words = { sending: T.sending, lost: T.lost, busy: T.busy, finishing: T.finishing }[phase];
  return html`
    <section class="span">
      <h2>${T.title}</h2>
      <p role="status">${words}</p>
      <p class="soft">${total === undefined ? " " : T.sent(formatSize(bytes), formatSize(total))}</p>
      <progress aria-label=${T.sending} max=${total || 1} value=${total === undefined
        ? undefined
        : total === 0
        ? 1
        : bytes}></progress>
      <div class="buttons"><button class="quiet" onClick=${onStop} disabled=${phase === "finishing"}>${T
        .stop}</button></div>
      <p class="soft gap">${T.resume}</p>
    </section>
  `;
}

function Done({ result, onAgain }) {
  const results = result.packages ?? [result];
  return html`<section class="span">
    ${
    results.map((one) =>
      html`<${Notice}><b>${describe(one)}</b>
      ${
        one.imported && html`<p>${
          one.handover === undefined && one.handedOver === undefined
            ? T.noHandover
            : T.handover(one.handover ?? one.handedOver)
        }</p>`
      }
      ${(one.warnings ?? []).map((warning) => html`<p>${warning}</p>`)}<//>`
    )
  }
    <div class="buttons"><a class="button" href="#/releases">${S.screens.releases}</a>
      <button class="quiet" onClick=${onAgain}>${T.other}</button></div></section>`;
}

/** What an installation has done, in a sentence. */
export function describe({ name, version, imported, part }) {
  if (imported) return T.done(name, version);
  return (part?.missing?.length ?? 0) > 0 ? T.partDone(`${name} ${version}`, part) : T.same;
}
