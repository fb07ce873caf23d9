// The agents that bundles are sent to: what is installed on each, and what can be sent.
import { html, useEffect, useState } from "./preact.js";
import { isOverruledBy, request } from "./api.js";
import { Empty, formatSize, Loaded, Notice, Pill, Row, useResource, useWork } from "./parts.js";
import { Package } from "./releases.js";
import { Send, SendSeveral } from "./send.js";
import { S } from "./strings.js";

const T = S.nodes;
const KINDS = { ready: "", denied: "bad", unreachable: "bad" };

export function Nodes({ onTitle, onError }) {
  const nodes = useResource("/api/nodes", { interval: 10_000, onError });
  const outbox = useResource("/api/outbox", { interval: 15_000, onError });
  const jobs = useResource("/api/jobs", { interval: 1000, onError });
  const [address, setAddress] = useState("");
  useEffect(() => onTitle(S.screens.nodes), []);
  const askToken = ({ url }) => {
    setAddress(url);
    document.getElementById("node-token").focus();
  };
  const common = { bundles: outbox.value?.bundles ?? [], jobs: jobs.value?.jobs ?? [], onError };
  return html`
    <${Loaded} resource=${nodes}>${({ nodes: list }) =>
      list.length === 0
        ? html`<${Empty} title=${T.none} text=${T.noneHelp} />`
        : list.map((node) =>
          html`<${Node} key=${node.url} node=${node} ...${common} onChanged=${nodes.reload} onAskToken=${askToken} />`
        )}<//>
    <${AddNode} address=${address} setAddress=${setAddress} onAdded=${nodes.reload} onError=${onError} />
  `;
}

function Node({ node, bundles, jobs, onChanged, onAskToken, onError }) {
  const { url, state, reason, packages, platforms = [], freeBytes } = node;
  const { state: { isAsking, error }, show, run } = useWork(onError);
  const name = node.node ?? url;
  const path = `/api/nodes/${encodeURIComponent(url)}`;
  const forget = () =>
    run(async () => {
      await request("DELETE", path);
      await onChanged();
    });
  const about = [name !== url && url, platforms.join(", "), freeBytes !== undefined && T.free(formatSize(freeBytes))];
  // The latest bundle of each package. One of several packages is offered by itself, once.
  const keyOf = ({ namespace, name }) => `${namespace ?? "default"}/${name}`;
  const installed = new Map(packages.map((one) => [keyOf(one), one]));
  const [latest, several] = [new Map(), new Set()];
  for (const bundle of bundles) {
    for (const one of bundle.packages) {
      if (latest.has(keyOf(one))) continue;
      latest.set(keyOf(one), bundle.packages.length > 1 ? undefined : bundle);
      if (bundle.packages.length > 1 && installed.get(keyOf(one))?.version !== one.version) several.add(bundle);
    }
  }
  const installedOf = (one) => installed.get(keyOf(one));
  const sendOf = (bundle, one) =>
    bundle !== undefined && html`
      <${Send} key=${bundle.digest} node=${node} bundle=${bundle} installed=${one}
        jobs=${jobs} onDone=${onChanged} onError=${onError} />
    `;
  const isNewer = (bundle, one) => bundle !== undefined && bundle.packages[0].version !== one.version;
  const others = [...latest].filter(([key]) => !installed.has(key));
  return html`
    <section class="span">
      <ul class="rows">
        <${Row} dot=${KINDS[state]} title=${name} text=${about.filter(Boolean).join(" · ")}>
          <${Pill} kind=${KINDS[state]}>${T.states[state]}<//><//></ul>
          ${reason && html`<${Notice} kind="warn">${reason}<//>`}
          ${error && html`<${Notice} kind="bad">${error.message}<//>`}
          ${state === "ready" && packages.length === 0 && html`<p class="soft">${T.nothing}</p>`}
          ${state === "ready" && others.map(([, bundle]) => sendOf(bundle))}
          ${state === "ready" && [...several].map((bundle) =>
            html`
              <${SendSeveral} key=${bundle.digest} node=${node} bundle=${bundle} installedOf=${installedOf}
                jobs=${jobs} onDone=${onChanged} onError=${onError} />
            `
          )}
          ${packages.map((one) => {
            const bundle = latest.get(keyOf(one));
            return html`
              <${Package} key=${keyOf(one)} one=${{ images: [], objects: 0, ...one }} base=${path}
                canChange=${node.canChange} onChanged=${onChanged} onError=${onError}>${isNewer(bundle, one) &&
                  sendOf(bundle, one)}<//>
            `;
          })}
          ${isAsking && html`<p class="gap">${T.sureForget}</p>`}
          <div class="buttons">${isAsking
            ? html`
              <button class="danger" onClick=${forget}>${T.yesForget}</button>
              <button class="quiet" onClick=${() => show({})}>${S.releases.cancel}</button>
            `
            : html`${
              state === "denied" &&
              html`<button aria-label=${T.againOf(name)} onClick=${() => onAskToken(node)}>${T.again}</button>`
            }${
              state === "unreachable" &&
              html`<button class="quiet" aria-label=${T.retryOf(name)} onClick=${onChanged}>${S.retry}</button>`
            }<button class="quiet" aria-label=${T.forgetOf(name)} onClick=${() =>
              show({ isAsking: true })}>${T.forget}</button>`}</div></section>
  `;
}

function AddNode({ address, setAddress, onAdded, onError }) {
  const { state, run } = useWork(onError);
  const { state: search, run: runSearch } = useWork(onError);
  const add = (event) => {
    event.preventDefault();
    const form = event.target;
    const data = new FormData(form);
    const insecure = data.get("insecure") !== null || event.submitter?.value === "insecure";
    run(async () => {
      const [token, ca, fingerprint] = ["token", "ca", "fingerprint"].map((name) => data.get(name));
      const body = { address, token, ca, fingerprint, insecure };
      await request("POST", "/api/nodes", { body: JSON.stringify(body) });
      form.reset();
      setAddress("");
      onAdded();
    });
  };
  const find = () => runSearch(() => request("POST", "/api/nodes/search"));
  return html`
    <section class="span"><h2>${T.add}</h2>
      <form class="drop" onSubmit=${add}>
        <label for="node-address">${T.address}</label>
        <input id="node-address" name="address" type="text" autocapitalize="off" autocomplete="off" required value=${address}
          aria-describedby="node-address-help" onInput=${(event) => setAddress(event.target.value)} />
        <p class="soft" id="node-address-help">${T.addressHelp}</p>
        <label for="node-token">${S.tokenLabel}</label>
        <input id="node-token" name="token" type="password" autocomplete="off" />
        <details><summary>https</summary><div class="drop">
          <label for="node-fingerprint">${T.fingerprint}</label>
          <input id="node-fingerprint" name="fingerprint" type="text" autocapitalize="off" autocomplete="off" spellcheck=${false}
            aria-describedby="node-fingerprint-help" />
          <p class="soft" id="node-fingerprint-help">${T.fingerprintHelp}</p>
          <label for="node-ca">${T.ca}</label><textarea id="node-ca" name="ca" rows="3" spellcheck=${false}></textarea>
          <label><input name="insecure" type="checkbox" /> ${T.insecure}</label></div></details>
        ${state.error && html`<${Notice} kind="bad">${state.error.message}<//>`}
        <button disabled=${state.isBusy}>${state.isBusy ? T.adding : T.go}</button>
        ${isOverruledBy("insecure-http", state.error) &&
          html`<button class="danger" value="insecure">${T.goInsecure}</button>`}
      </form>
      <div class="buttons"><button class="quiet wide" disabled=${search.isBusy} onClick=${find}>${search.isBusy
        ? T.searching
        : T.search}</button></div>
      ${search.error && html`<${Notice} kind="bad">${search.error.message}<//>`}
      ${search.found && html`
        <p role="status">${T.found(search.found.length)}</p>
        <ul class="rows">${search.found.map(({ id, address }) =>
          html`<${Row} key=${address} title=${id} text=${address}>
          <button class="quiet" aria-label=${T.useOf(id)} onClick=${() => setAddress(address)}>${T.use}</button><//>`
        )}</ul>
      `}</section>
  `;
}
