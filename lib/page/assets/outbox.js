// The packed bundles of the server: download, delete.
import { html, useState } from "./preact.js";
import { getToken, request } from "./api.js";
import { Packs } from "./pack.js";
import { formatSize, Loaded, Notice, Row, Time, useResource } from "./parts.js";
import { S } from "./strings.js";

const T = S.outbox;
const HASH_START = "sha256:".length;
const SHOWN_DIGITS = 12;

/** The section of the outbox. A server that does not pack shows it only when there is something in it. */
export function Outbox({ isAlwaysShown, onError }) {
  const resource = useResource("/api/outbox", { interval: 15_000, onError });
  const { value } = resource;
  if (!isAlwaysShown && !(value?.bundles.length > 0)) return null;
  return html`${isAlwaysShown && html`<${Packs} onDone=${resource.reload} onError=${onError} />`}
    <${Loaded} resource=${resource}>${({ bundles }) =>
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
  const [state, setState] = useState({});
  const path = `/api/outbox/${digest}`;
  const run = async (work) => {
    setState({ isBusy: true });
    try {
      await work();
      setState({});
    } catch (error) {
      onError(error);
      setState({ error });
    }
  };
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
            <button class="quiet" onClick=${() => setState({})}>${S.releases.cancel}</button>
          `
          : getToken() !== null && html`
            <button class="quiet" disabled=${state.isBusy} aria-label=${T.downloadOf(name)} onClick=${download}>${T
              .download}</button><button
              class="quiet" disabled=${state.isBusy} aria-label=${T.removeOf(name)} onClick=${() =>
                setState({ isAsking: true })}>${T.remove}</button>
          `}
        ${state.error && html`<${Notice} kind="bad">${state.error.message}<//>`}<//>
  `;
}
