// The packed bundles of the server: download, delete.
import { html } from "./preact.js";
import { getToken, request } from "./api.js";
import { Packs } from "./pack.js";
import { formatSize, Loaded, Notice, Pill, Row, Time, useResource, useWork } from "./parts.js";
import { S } from "./strings.js";

const T = S.outbox;
const HASH_START = "sha256:".length;
const SHOWN_DIGITS = 12;

/** The section of the outbox. A server that does not pack shows it only when there is something in it. */
export function Outbox({ isAlwaysShown, onError }) {
  const resource = useResource("/api/outbox", { interval: 15_000, onError });
  const { value } = resource;
  if (!isAlwaysShown && !(value?.bundles.length + value?.partials.length > 0)) return null;
  return html`${isAlwaysShown && html`<${Packs} onDone=${resource.reload} onError=${onError} />`}
    <${Loaded} resource=${resource}>${({ bundles, partials }) =>
    html`
      <section class="span">
        <h2>${T.title}</h2>
            ${bundles.length === 0
              ? html`<p class="soft">${T.none}</p>`
              : html`<ul class="rows">${
                bundles.map((bundle) =>
                  html`<${Bundle} key=${bundle.digest} bundle=${bundle} onChanged=${resource.reload} onError=${onError} />`
                )
              }</ul>`}
            ${partials.length > 0 &&
              html`<${Partials} partials=${partials} onChanged=${resource.reload} onError=${onError} />`}
            ${isAlwaysShown && bundles.length > 0 &&
              html`<div class="buttons"><a class="button wide" href="#/nodes">${T.send}</a></div>`}
          </section>
    `}<//>`;
}

/** The names of a bundle's packages. */
export const nameOf = ({ packages, digest }) =>
  packages.length === 0
    ? digest.slice(HASH_START, HASH_START + SHOWN_DIGITS)
    : packages.map(({ name, version }) => `${name} ${version}`).join(", ");

function Bundle({ bundle, onChanged, onError }) {
  const { digest, size, packed, packages, error } = bundle;
  const { state, show, run } = useWork(onError);
  const path = `/api/outbox/${digest}`;
  const download = () =>
    run(async () => {
      const { url } = await request("POST", `${path}/link`);
      const link = document.createElement("a");
      Object.assign(link, { href: url, download: "" }).click();
    });
  const remove = () =>
    run(async () => {
      await request("DELETE", path);
      await onChanged();
    });
  const images = packages.flatMap(({ images }) => images).length;
  const objects = packages.reduce((sum, { objects }) => sum + objects, 0);
  const name = nameOf(bundle);
  return html`
    <${Row} dot=${error ? "bad" : ""} title=${name}
      text=${error ??
        html`${S.releases.details(images, objects, ` · ${formatSize(size)} · `)}<${Time} of=${packed} /> · ${
          digest.slice(HASH_START, HASH_START + SHOWN_DIGITS)
        }`}>
        ${state.isAsking
          ? html`
            <button class="danger" onClick=${remove}>${T.yes}</button>
            <button class="quiet" onClick=${() => show({})}>${S.releases.cancel}</button>
          `
          : getToken() !== null && html`
            <button class="quiet" disabled=${state.isBusy} aria-label=${T.downloadOf(name)} onClick=${download}>${T
              .download}</button><button
              class="quiet" disabled=${state.isBusy} aria-label=${T.removeOf(name)} onClick=${() =>
                show({ isAsking: true })}>${T.remove}</button>
          `}
        ${state.error && html`<${Notice} kind="bad">${state.error.message}<//>`}<//>
  `;
}

/** What interrupted packs left, and what packs are writing. */
function Partials({ partials, onChanged, onError }) {
  const { state, show, run } = useWork(onError);
  const remove = () =>
    run(async () => {
      await request("DELETE", "/api/outbox/partials");
      await onChanged();
    });
  const canRemove = getToken() !== null && partials.some(({ inUse }) => !inUse);
  return html`
    <ul class="rows">${partials.map(({ name, size, written, inUse }) =>
      html`
        <${Row} key=${name} dot=${inUse ? "" : "warn"} title=${name.replace(/^\.+|\.tgz(?:\.partial)?$/g, "")}
          text=${html`${formatSize(size)} · <${Time} of=${written} />`}>
          <${Pill} kind=${inUse ? "plain" : "warn"}>${inUse ? T.inUse : T.interrupted}<//><//>
      `
    )}</ul>
    ${canRemove && html`
      <p class="soft gap">${T.partialHelp}</p>
      <div class="buttons">${state.isAsking
        ? html`
          <button class="danger" onClick=${remove}>${T.yesPartials}</button>
          <button class="quiet" onClick=${() => show({})}>${S.releases.cancel}</button>
        `
        : html`<button class="quiet" disabled=${state.isBusy} onClick=${() =>
          show({ isAsking: true })}>${T.removePartials}</button>`}</div>
    `}
    ${state.error && html`<${Notice} kind="bad">${state.error.message}<//>`}
  `;
}
