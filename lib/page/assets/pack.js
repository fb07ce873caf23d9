// The desk: a release is pasted or opened, checked as it is typed, and packed into the outbox.
import { html, useEffect, useRef, useState } from "./preact.js";
import { request } from "./api.js";
import { Jobs } from "./jobs.js";
import { Inventories } from "./inventories.js";
import { formatSize, Notice, Row, useResource } from "./parts.js";
import { S } from "./strings.js";

const T = S.pack;
const CHECK_MILLISECONDS = 400;
const MAX_FILE_BYTES = 16 * 1024 * 1024;
const MAX_SHOWN = 100;

export function Pack({ onTitle, onError }) {
  const [text, setText] = useState("");
  const [found, setFound] = useState({ releases: [] });
  const [error, setError] = useState(undefined);
  const [platforms, setPlatforms] = useState("");
  const [have, setHave] = useState("");
  const inventories = useResource("/api/inventories", { onError });
  const [isStarting, setStarting] = useState(false);
  const area = useRef(undefined);
  const last = useRef(Promise.resolve());
  useEffect(() => onTitle(T.title), []);
  useEffect(() => {
    setError(undefined);
    if (text.trim() === "") {
      setFound({ releases: [] });
      return;
    }
    // What was found before stays until the answer, so that nothing jumps while the text is typed.
    setFound((before) => ({ ...before, isChecking: true }));
    const stop = new AbortController();
    const check = async () => {
      if (stop.signal.aborted) return;
      try {
        const answer = await request("POST", "/api/releases/check", { body: text });
        if (!stop.signal.aborted) setFound(answer);
      } catch (failure) {
        if (stop.signal.aborted) return;
        onError(failure);
        setFound({ releases: [] });
        setError(failure);
      }
    };
    // One check at a time: the server needs seconds for thousands of objects.
    const timer = setTimeout(() => last.current = last.current.then(check), CHECK_MILLISECONDS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text]);
  const open = async (file) => {
    if (file === undefined) return;
    if (file.size > MAX_FILE_BYTES) return setError(new Error(T.tooLarge(formatSize(MAX_FILE_BYTES))));
    try {
      setText(await file.text());
    } catch {
      setError(new Error(S.install.errors.changed));
    }
  };
  const pack = async () => {
    setStarting(true);
    try {
      const query = new URLSearchParams({ platform: platforms, have });
      await request("POST", `/api/packs?${query}`, { body: text });
      location.hash = "#/releases";
    } catch (failure) {
      onError(failure);
      setError(failure);
      setStarting(false);
    }
  };
  const { releases, isChecking } = found;
  return html`
    <section class="span drop">
      <label for="release-file">${T.open}</label>
      <input id="release-file" type="file" accept=".json,.yaml,.yml" onChange=${(event) =>
        open(event.target.files[0])} />
      <label for="release">${T.release}</label>
      <textarea id="release" ref=${area} rows="10" spellcheck=${false} autocapitalize="off"
        aria-describedby="release-help"
        value=${text}
        onInput=${(event) => setText(event.target.value)}></textarea>
      <p class="soft" id="release-help">${T.releaseHelp}</p>
    </section>
    <div class="span" aria-live="polite">
      ${isChecking && html`<p class="soft">${T.checking}</p>`}
      ${found.problems && html`<${Problems} problems=${found.problems} more=${found.more} area=${area.current} />`}
      ${error && html`<${Notice} kind="bad">${error.message}<//>`}
    </div>
    ${releases.map((release) => html`<${Release} release=${release} />`)}
    ${releases.length > 0 && html`
      <section class="span drop">
        <label for="platforms">${T.platforms}</label>
        <input id="platforms" type="text" autocapitalize="off" placeholder="linux/arm64" aria-describedby="platforms-help"
          value=${platforms} onInput=${(event) => setPlatforms(event.target.value)} />
        <p class="soft" id="platforms-help">${T.platformsHelp}</p>
        <${Inventories} list=${inventories.value?.inventories ?? []} chosen=${have} onChoose=${setHave}
          onChanged=${inventories.reload} onError=${onError} />
        <button class="wide" disabled=${isStarting || isChecking} onClick=${pack}>${T.go}</button>
      </section>
    `}
  `;
}

/** What is wrong with the text, each at its line. */
function Problems({ problems, more, area }) {
  const show = (line) => {
    const text = area.value;
    let begin = 0;
    for (let i = 1; i < line; i++) begin = text.indexOf("\n", begin) + 1;
    const end = text.indexOf("\n", begin);
    area.focus();
    area.setSelectionRange(begin, end < 0 ? text.length : end);
    // A browser does not scroll to a selection by itself.
    area.scrollTop = (line - 1) / text.split("\n").length * area.scrollHeight - area.clientHeight / 2;
  };
  return html`
    <section><h2>${T.problems(problems.length + more)}</h2><ul class="rows">${problems.map(({ field, message, line }) =>
      html`
        <${Row} dot="warn" title=${field === "" ? message : field} text=${field === "" ? undefined : message}>
          ${line !== undefined &&
            html`<button class="quiet" aria-label=${T.lineOf(line, field)} onClick=${() => show(line)}>${
              T.line(line)
            }</button>`}<//>
      `
    )}</ul>${more > 0 && html`<p class="soft">${T.more(more)}</p>`}</section>
  `;
}

function Release({ release: { name, namespace, version, images, objects, warnings } }) {
  return html`
    <section class="span">
      <ul class="rows">
        <${Row} dot=${warnings.length === 0 ? "" : "warn"} title=${`${name} ${version}`}
          text=${`${namespace} · ${S.releases.details(images.length, objects, "")}`} />
            ${images.slice(0, MAX_SHOWN).map((image) => html`<${Row} title=${image} />`)}</ul>
          ${images.length > MAX_SHOWN && html`<p class="soft">… ${images.length - MAX_SHOWN}</p>`}
          ${warnings.slice(0, MAX_SHOWN).map((warning) => html`<${Notice} kind="warn">${warning}<//>`)}</section>
  `;
}

/** The packs that are running, and those that have failed. `onDone` is called when one is in the outbox. */
export const Packs = (options) =>
  html`<${Jobs} texts=${{ pack: { starting: T.resolving, running: T.packing } }} ...${options} />`;
