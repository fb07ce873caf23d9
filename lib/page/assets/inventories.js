// The inventories of sites, for packs that leave out what a site has.
import { html } from "./preact.js";
import { request } from "./api.js";
import { formatSize, Notice, Row, Time, useWork } from "./parts.js";
import { S } from "./strings.js";

const T = S.inventories;
// As much as the server takes.
const MAX_BYTES = 64 * 1024 * 1024;
const NAME_LENGTH = 100;

/** The name that a file suggests: that of a site's file has the node and the date. */
const suggestName = (file) =>
  file.name.replace(/\.(?:json|txt)$/i, "").replace(/^inventory-/, "").replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "").slice(0, NAME_LENGTH) || "site";

/** Chooses the inventory of a site, adds one, and removes some. */
export function Inventories({ list, chosen, onChoose, onChanged, onError }) {
  const { state, run } = useWork(onError);
  const pathOf = (name) => `/api/inventories/${encodeURIComponent(name)}`;
  const add = (file) =>
    file !== undefined && run(async () => {
      if (file.size > MAX_BYTES) throw new Error(T.tooLarge(formatSize(MAX_BYTES)));
      const name = suggestName(file);
      const body = await file.text().catch(() => {
        throw new Error(S.install.errors.changed);
      });
      await request("PUT", pathOf(name), { body });
      // A choice is shown only when it is in the list.
      await onChanged();
      onChoose(name);
    });
  const remove = (name) =>
    run(async () => {
      await request("DELETE", pathOf(name));
      await onChanged();
      if (chosen === name) onChoose("");
    });
  return html`
    <label for="have">${T.choose}</label>
    <select id="have" value=${chosen} onChange=${(event) => onChoose(event.target.value)}>
      <option value="">${T.nothing}</option>
      ${list.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}
    </select>
    <p class="soft">${T.help}</p>
    <label for="have-file">${T.add}</label>
    <input id="have-file" type="file" accept=".json,.txt" disabled=${state.isBusy} onChange=${(event) => {
      add(event.target.files[0]);
      event.target.value = "";
    }} />
    ${state.error && html`<${Notice} kind="bad">${state.error.message}<//>`}
    ${list.length > 0 && html`
      <details>
        <summary>${T.kept(list.length)}</summary>
        <ul class="rows">${list.map(({ name, size, saved }) =>
          html`<${Row} key=${name} title=${name} text=${html`${formatSize(size)} · <${Time} of=${saved} />`}>
          <button type="button" class="quiet" aria-label=${T.removeOf(name)} onClick=${() =>
            remove(name)}>${S.outbox.remove}</button><//>`
        )}</ul>
      </details>
    `}
  `;
}
