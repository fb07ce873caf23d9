// The images of the store: search, pull, remove.
import { html, useEffect, useState } from "./preact.js";
import { getToken, request } from "./api.js";
import { Jobs } from "./jobs.js";
import { copyText, Empty, formatSize, Loaded, Notice, Pill, Row, Time, useResource, useWork } from "./parts.js";
import { S } from "./strings.js";

const T = S.images;
const PAGE_ROWS = 50;

/** The tagged images. Only a page of them is in the document. */
export function Images({ access, onTitle, onError }) {
  const resource = useResource("/api/images", { interval: 15_000, onError });
  const [query, setQuery] = useState("");
  const [shown, setShown] = useState(PAGE_ROWS);
  const [message, setMessage] = useState(undefined);
  const images = resource.value?.images;
  const canChange = getToken() !== null && access.changes === "token";
  useEffect(() => {
    if (images === undefined) return;
    const incomplete = images.filter(({ isComplete }) => !isComplete).length;
    onTitle(undefined, {
      text: T.summary(images.length, formatSize(images.reduce((sum, { size }) => sum + size, 0))),
      pill: incomplete === 0 ? undefined : T.incomplete(incomplete),
      kind: "warn",
    });
  }, [images]);
  const onRemoved = (text) => {
    setMessage(text);
    resource.reload();
  };
  return html`
    ${canChange && !access.onlySigned && html`
      <${Pull} onError=${onError} />
      <${Jobs} texts=${{ pull: { starting: T.resolving, running: T.pulling } }} onDone=${resource
        .reload} onError=${onError} />
    `}
    ${message && html`
      <section class="span">
        <${Notice}>${message}<//></section>
    `}
    <${Loaded} resource=${resource}>${({ images }) => {
      if (images.length === 0) return html`<${Empty} title=${T.none} text=${T.noneHelp} />`;
      const found = images.filter(({ reference }) => reference.includes(query.trim()));
      return html`
        <section class="span"><input type="search" aria-label=${T.search} placeholder=${T.search} value=${query}
                onInput=${(event) => (setQuery(event.target.value), setShown(PAGE_ROWS))} /></section>
        <section class="span">${found.length === 0 ? html`<p class="soft">${T.noMatch}</p>` : html`<ul class="rows">
          ${
          found.slice(0, shown).map((image) =>
            html`<${Image} key=${image.reference} image=${image} canChange=${canChange} onRemoved=${onRemoved} onError=${onError} />`
          )
        }</ul>`}
                ${found.length > shown &&
                  html`<button class="quiet wide" onClick=${() => setShown(shown + PAGE_ROWS)}>${
                    T.showMore(Math.min(PAGE_ROWS, found.length - shown))
                  }</button>`}
              </section>
      `;
    }}<//>
  `;
}

function Pull({ onError }) {
  const { state, run } = useWork(onError);
  const pull = (event) => {
    event.preventDefault();
    const form = event.target;
    const image = new FormData(form).get("image").trim();
    if (image === "") return;
    run(async () => {
      await request("POST", `/api/images?image=${encodeURIComponent(image)}`);
      form.reset();
    });
  };
  return html`
    <section class="span">
      <form class="drop" onSubmit=${pull}>
        <label for="pull-image">${T.pullLabel}</label>
        <input id="pull-image" name="image" type="text" autocapitalize="off" autocomplete="off" spellcheck=${false}
          placeholder="docker.io/library/nginx:1.27" />
        ${state.error && html`<${Notice} kind="bad">${state.error.message}<//>`}
        <button disabled=${state.isBusy}>${T.pull}</button>
      </form>
    </section>
  `;
}

function Image({ image, canChange, onRemoved, onError }) {
  const { reference, platforms, size, packages, isComplete, tagged, used } = image;
  const { state, show, run } = useWork(onError);
  const [isCopied, setCopied] = useState(false);
  const remove = () =>
    run(async () => {
      const { freedBytes, note } = await request("DELETE", `/api/images?image=${encodeURIComponent(reference)}`);
      onRemoved(T.removed(reference, note ?? T.freed(formatSize(freedBytes))));
    });
  const about = [platforms.join(", "), formatSize(size), packages.length > 0 && `${T.usedBy} ${packages.join(", ")}`]
    .filter(Boolean).join(" · ");
  const [word, time] = used === undefined ? [T.tagged, tagged] : [T.used, used];
  return html`
    <${Row} dot=${isComplete ? "" : "warn"} title=${reference}
      text=${time === undefined ? about : html`${about} · ${word} <${Time} of=${time} />`}>
      ${!isComplete && html`<${Pill} kind="warn">${T.partial}<//>`}
      ${state.isAsking
        ? html`
          <button class="danger" onClick=${remove}>${T.yesRemove}</button>
          <button class="quiet" onClick=${() => show({})}>${S.releases.cancel}</button>
        `
        : html`
          <button class="quiet" aria-label=${isCopied ? undefined : T.copyOf(reference)} onClick=${() =>
            copyText(`docker pull ${location.host}/${reference}`) && setCopied(true)}>${isCopied
            ? T.copied
            : T.copy}</button>
          ${canChange &&
            html`<button class="quiet" disabled=${state.isBusy} aria-label=${T.removeOf(reference)} onClick=${() =>
              show({ isAsking: true })}>${T.remove}</button>`}
        `}
      ${state.error && html`<${Notice} kind="bad">${state.error.message}<//>`}<//>
  `;
}
