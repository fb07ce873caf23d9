// The registries that images come from: their state, add, edit, test, remove.
import { html, useState } from "./preact.js";
import { getToken, request } from "./api.js";
import { Loaded, Notice, Pill, Row, Time, useResource, useWork } from "./parts.js";
import { dotOfUpstream, Findings } from "./screens.js";
import { S } from "./strings.js";

const T = S.registries;
const LIST_MILLISECONDS = 10_000;
const DOTS = { ok: "", warning: "warn", broken: "bad" };

/** The registries, each with what is known of its state. */
export function Registries({ access, onError }) {
  const resource = useResource("/api/registries", { interval: LIST_MILLISECONDS, onError });
  const [edited, setEdited] = useState(undefined);
  const canChange = getToken() !== null && access.changes === "token";
  const canEdit = canChange && !access.onlySigned;
  const onSaved = () => {
    setEdited(undefined);
    resource.reload();
  };
  return html`<${Loaded} resource=${resource}>${({ registries, isOffline }) =>
    html`
      ${isOffline && html`
        <section class="span">
          <${Notice}>${T.offline}<//></section>
      `}
      <section class="span"><h2>${T.title}</h2>${registries.length === 0
        ? html`<b>${T.none}</b><p class="soft">${T.noneHelp}</p>`
        : html`
          <ul class="rows">${registries.map((one) =>
            html`
              <${Registry} key=${`${one.host} ${one.url}`} one=${one} canChange=${canChange} canEdit=${canEdit} onEdit=${setEdited}
                onChanged=${resource.reload} onError=${onError} />
            `
          )}</ul>
        `}</section>
      ${canEdit
        ? html`<${Editor} key=${edited?.host} edited=${edited} onSaved=${onSaved} onCancel=${() =>
          setEdited(undefined)} onError=${onError} />`
        : html`
          <section class="span">
            <p class="soft">${canChange ? T.onlySigned : T.needsToken}</p>
          </section>
        `}
    `}<//>`;
}

function Registry({ one, canChange, canEdit, onEdit, onChanged, onError }) {
  const { host, url, username, isEditable, requests, errors, seen, test } = one;
  const { state, show, run } = useWork(onError);
  const path = `/api/registries/${encodeURIComponent(host)}`;
  const change = (method, path) =>
    run(async () => {
      await request(method, path);
      await onChanged();
    });
  const ask = () => change("POST", `${path}/test`);
  const remove = () => change("DELETE", path);
  const worst = ["broken", "warning", "ok"].find((status) => test?.findings.some((it) => it.status === status));
  const isTested = worst !== undefined && !(seen && test.tested < (lastOf(seen) ?? ""));
  const dot = isTested ? DOTS[worst] : dotOfSeen(seen) ?? dotOfUpstream(requests, errors);
  const rateLimit = isTested ? test.rateLimit ?? seen?.rateLimit : seen?.rateLimit ?? test?.rateLimit;
  const about = [
    url,
    username && T.as(username),
    requests + errors > 0 ? T.counts(requests, errors) : test === undefined && T.notAsked,
    !isTested && seen?.isLoginAccepted !== undefined && (seen.isLoginAccepted ? T.loginAccepted : T.loginRefused),
    rateLimit && T.left(rateLimit.remaining, rateLimit.limit),
  ];
  return html`
    <${Row} dot=${dot} title=${host} text=${about.filter(Boolean).join(" · ")}>
      ${isTested && html`<${Pill} kind=${DOTS[worst] || undefined}>${T.states[worst]}<//>`}
      ${state.isAsking
        ? html`
          <button class="danger" onClick=${remove}>${T.yesRemove}</button>
          <button class="quiet" onClick=${() => show({})}>${S.releases.cancel}</button>
        `
        : canChange && url !== undefined && html`
          <button class="quiet" disabled=${state.isBusy} aria-label=${state.isBusy
            ? undefined
            : T.testOf(host)} onClick=${ask}>${state.isBusy ? T.testing : T.test}</button>
          ${canEdit && isEditable && html`
            <button class="quiet" aria-label=${T.editOf(host)} onClick=${() => onEdit(one)}>${T.edit}</button>
            <button class="quiet" aria-label=${T.removeOf(host)} onClick=${() => show({ isAsking: true })}>${T
              .remove}</button>
          `}
        `}
      ${seen && html`
        <p class="soft full">${seen.answered && html`${T.answered} <${Time} of=${seen.answered} />`}${isFailing(seen) &&
          html`<br />${T.failed} <${Time} of=${seen.failed} />: ${seen.reason}`}</p>
      `}
      ${test && html`
        <div class="full">
          <p class="soft">${T.asked} <${Time} of=${test.tested} /></p>
          <${Findings} findings=${test.findings} />
        </div>
      `}
      ${state.error && html`<${Notice} kind="bad">${state.error.message}<//>`}<//>
  `;
}

// What was seen last counts: an answer after a failure shows that the registry works again.
const isFailing = ({ answered, failed }) => failed !== undefined && !(answered > failed);
const lastOf = ({ answered, failed }) => [answered, failed].filter(Boolean).sort().at(-1);

function dotOfSeen(seen) {
  if (seen === undefined) return undefined;
  return isFailing(seen) ? "bad" : seen.isLoginAccepted === false || seen.rateLimit?.remaining === 0 ? "warn" : "";
}

function Editor({ edited, onSaved, onCancel, onError }) {
  const { state, run } = useWork(onError);
  // The button that was pressed says what to do with the form.
  const submit = (event) => {
    event.preventDefault();
    const isTest = event.submitter?.value === "test";
    const data = new FormData(event.target);
    const host = edited?.host ?? data.get("host").trim();
    const body = { url: data.get("url").trim(), username: data.get("username").trim(), password: data.get("password") };
    const path = `/api/registries/${encodeURIComponent(host)}`;
    const form = event.target;
    run(async () => {
      const send = (method, path) => request(method, path, { body: JSON.stringify(body) });
      if (isTest) return { test: await send("POST", `${path}/test`) };
      await send("PUT", path);
      form.reset();
      onSaved();
    });
  };
  return html`
    <section class="span">
      <h2>${edited ? T.editOf(edited.host) : T.add}</h2>
      <form class="drop" onSubmit=${submit}>
        ${!edited && html`
          <label for="registry-host">${T.host}</label>
          <input id="registry-host" name="host" type="text" autocapitalize="off" autocomplete="off" required
            placeholder="registry.lan:5000" aria-describedby="registry-host-help" />
          <p class="soft" id="registry-host-help">${T.hostHelp}</p>
        `}
        <label for="registry-url">${T.url}</label>
        <input id="registry-url" name="url" type="text" autocapitalize="off" autocomplete="off" defaultValue=${edited
          ?.url} aria-describedby="registry-url-help" />
        <p class="soft" id="registry-url-help">${T.urlHelp}</p>
        <label for="registry-user">${T.username}</label>
        <input id="registry-user" name="username" type="text" autocapitalize="off" autocomplete="off"
          defaultValue=${edited?.username} />
        <label for="registry-password">${T.password}</label>
        <input id="registry-password" name="password" type="password" autocomplete="new-password"
          aria-describedby="registry-password-help" />
        <p class="soft" id="registry-password-help">${edited ? T.passwordKept : T.passwordHelp}</p>
        ${state.error && html`<${Notice} kind="bad">${state.error.message}<//>`}
        ${state.isBusy && html`<p class="soft" role="status">${T.testing}</p>`}
        ${state.test && html`
          <div role="status">
            <${Findings} findings=${state.test.findings} />
          </div>
        `}
        <div class="buttons">
          <button value="save" disabled=${state.isBusy}>${T.save}</button>
          <button class="quiet" value="test" disabled=${state.isBusy}>${T.tryIt}</button>
          ${edited && html`<button type="button" class="quiet" onClick=${onCancel}>${S.releases.cancel}</button>`}
        </div>
      </form>
    </section>
  `;
}
