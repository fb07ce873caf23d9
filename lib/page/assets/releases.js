// The installed packages and the packed bundles of this server.
import { html } from "./preact.js";
import { getToken, request } from "./api.js";
import { Objects } from "./install.js";
import { Outbox } from "./outbox.js";
import { Empty, formatSize, Loaded, Notice, Pill, Row, useResource, useWork } from "./parts.js";
import { Receipt } from "./site.js";
import { S } from "./strings.js";

/** The installed packages: roll back, remove; and the packed bundles. */
export function Releases({ access, onError }) {
  const T = S.releases;
  const resource = useResource("/api/packages", { interval: 15_000, onError });
  const canChange = access.installs && getToken() !== null;
  return html`${
    access.installs &&
    html`<section class="span"><a class="button wide" href="#/install">${S.overview.install}</a></section>`
  }
    ${access.packs && html`<section class="span"><a class="button wide" href="#/pack">${S.pack.title}</a></section>`}
    <${Outbox} isAlwaysShown=${!access.installs} onError=${onError} />
    <${Loaded} resource=${resource}>${({ packages }) =>
    packages.length === 0
      ? access.installs && html`<${Empty} title=${T.none} text=${T.noneHelp} />`
      : packages.map((one) =>
        html`
          <${Package} key=${`${one.namespace}/${one.name}`} one=${one} canChange=${canChange} hasReceipt=${access
            .installs} onChanged=${resource.reload}
            onError=${onError} />
        `
      )}<//>`;
}

/**
 * An installed package, with its changes.
 *
 * @param base the root of the API that changes it
 * @param children what the package can be replaced with
 */
export function Package({ one, canChange, hasReceipt = false, onChanged, onError, base = "/api", children }) {
  const T = S.releases;
  const { state, show, run } = useWork(onError);
  const path = `${base}/packages/${encodeURIComponent(one.name)}`;
  const namespace = `namespace=${encodeURIComponent(one.namespace)}`;
  const [target] = one.earlier ?? [];
  const askRemove = () => run(async () => ({ plan: await request("DELETE", `${path}?${namespace}&dry-run=true`) }));
  const remove = () =>
    run(async () => {
      const { removed } = await request("DELETE", `${path}?${namespace}`);
      onChanged();
      return { message: removed ? T.removed : T.removalPending };
    });
  const back = () =>
    run(async () => {
      const query = `${namespace}&to=${encodeURIComponent(target)}`;
      const { rolledBack, to } = await request("POST", `${path}/rollback?${query}`);
      onChanged();
      return { message: rolledBack ? T.rolledBack(to) : T.unchanged };
    });
  const size = one.size === undefined ? "" : ` · ${formatSize(one.size)}`;
  return html`
    <section>
      <ul class="rows">
        <${Row} dot=${one.error ? "bad" : one.handedOver ? "" : "off"} title=${`${one.name} ${one.version ?? ""}`}
          text=${one.error ?? `${one.namespace} · ${T.details(one.images.length, one.objects, size)}`}>
          <${Pill} kind=${one.error ? "bad" : one.removing ? "warn" : "plain"}>${one.error
            ? T.unreadable
            : one.removing
            ? T.removing
            : one.handedOver
            ? T.handedOver
            : T.notHandedOver}<//><//>
          ${(one.earlier ?? []).map((version) => html`<${Row} title=${version} text=${T.earlier} />`)}</ul>
        ${children}
        ${hasReceipt && !one.error && html`<${Receipt} one=${one} onError=${onError} />`}
        ${state.message && html`<${Notice}>${state.message}<//>`}
        ${state.error && html`<${Notice} kind="bad">${state.error.message}<//>`}
        ${state.plan &&
          html`<p class="gap">${T.sure(one.name)}</p>${
            state.plan.manifests === undefined
              ? html`<p class="soft">${T.keeps}</p>`
              : html`<${Objects} manifests=${state.plan.manifests} />`
          }`}
        ${state.isBusy
          ? html`<p class="soft" role="status">${T.busy}</p>`
          : canChange && !one.error && html`<div class="buttons">
      ${
            state.plan
              ? html`<button class="danger" onClick=${remove}>${T.yes}</button>`
              : state.isAsking
              ? html`<button onClick=${back}>${T.yesBack(target)}</button>`
              : html`${
                target !== undefined &&
                html`<button class="quiet" onClick=${() => show({ isAsking: true })}>${T.backTo(target)}</button>`
              }
        <button class="quiet" onClick=${askRemove}>${T.remove}</button>`
          }
      ${
            (state.plan || state.isAsking) &&
            html`<button class="quiet" onClick=${() => show({})}>${T.cancel}</button>`
          }</div>`}</section>
  `;
}
