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
  const ticket = useRef(0);
  useEffect(() => onTitle(T.title), []);
  useEffect(() => {
    const mine = ++ticket.current;
    setFound({ releases: [], isChecking: text.trim() !== "" });
    setError(undefined);
    if (text.trim() === "") return;
    const timer = setTimeout(async () => {
      try {
        const answer = await request("POST", "/api/releases/check", { body: text });
        if (mine === ticket.current) setFound(answer);
      } catch (failure) {
        if (mine !== ticket.current) return;
        onError(failure);
        setFound({ releases: [] });
        setError(failure);
      }
    }, CHECK_MILLISECONDS);
    return () => clearTimeout(timer);
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
      <label for="release">${T.release}</label>
      <textarea id="release" rows="10" spellcheck=${false} autocapitalize="off" aria-describedby="release-help"
        value=${text}
        onInput=${(event) => setText(event.target.value)}></textarea>
      <p class="soft" id="release-help">${T.releaseHelp}</p>
      <label for="release-file">${T.open}</label>
      <input id="release-file" type="file" accept=".json,.yaml,.yml" onChange=${(event) =>
        open(event.target.files[0])} />
    </section>
    <div class="span" aria-live="polite">
      ${isChecking && html`<p class="soft">${T.checking}</p>`}
      ${found.error && html`<${Notice} kind="warn">${found.error}<//>`}
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
        <button class="wide" disabled=${isStarting} onClick=${pack}>${T.go}</button>
      </section>
    `}
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
  html`<${Jobs} kind="pack" texts=${{ starting: T.resolving, running: T.packing }} ...${options} />`;
