// The frame: which screen is shown, who is signed in, and how the server is.
import { html, render, useEffect, useRef, useState } from "./preact.js";
import { get, getToken, redeemCode, setToken } from "./api.js";
import { Images } from "./images.js";
import { Install } from "./install.js";
import { Pack } from "./pack.js";
import { Loaded, Notice, Pill, useResource } from "./parts.js";
import { Nodes } from "./nodes.js";
import { Registries } from "./registries.js";
import { Releases } from "./releases.js";
import { Doctor, Overview } from "./screens.js";
import { S } from "./strings.js";

const ICONS = {
  overview: "M3 12 12 4l9 8v8H3z",
  images: "M4 7l8-4 8 4-8 4zM4 12l8 4 8-4M4 17l8 4 8-4",
  releases: "M4 5h16v14H4zM4 10h16M9 14h6",
  nodes: "M5 6h14v5H5zM5 14h14v5H5zM8 8.5h.01M8 16.5h.01",
  registries:
    "M12 3c5 0 8 1.3 8 3s-3 3-8 3-8-1.3-8-3 3-3 8-3zM4 6v12c0 1.7 3 3 8 3s8-1.3 8-3V6M4 12c0 1.7 3 3 8 3s8-1.3 8-3",
  doctor: "M4 12h4l2-6 4 12 2-6h4",
};
const SCREENS = {
  overview: Overview,
  images: Images,
  releases: Releases,
  nodes: Nodes,
  registries: Registries,
  doctor: Doctor,
  install: Install,
  pack: Pack,
};
// Screens that need the token, and belong to the screen of the releases.
const CHANGING = ["install", "pack"];
const NEED_TOKEN = [...CHANGING, "nodes"];
const STATUS_MILLISECONDS = 5000;

const screenOf = () => {
  const [, name] = /^#\/(\w+)$/.exec(location.hash) ?? [];
  return Object.hasOwn(SCREENS, name ?? "") ? name : "overview";
};

function useScreen() {
  const [screen, setScreen] = useState(screenOf);
  useEffect(() => {
    const change = () => setScreen(screenOf());
    addEventListener("hashchange", change);
    // The address may have changed since the first rendering, before there was a listener.
    change();
    return () => removeEventListener("hashchange", change);
  }, []);
  return screen;
}

function App({ codeError }) {
  const screen = useScreen();
  const [token, setSigned] = useState(getToken);
  const [problem, setProblem] = useState(codeError?.message);
  const access = useResource("/api/access", {});
  const sign = (value) => {
    setToken(value);
    setSigned(value);
    setProblem(undefined);
    access.reload();
  };
  // A token that was changed meanwhile.
  const onError = (error) => {
    if (error.status !== 401 || getToken() === null) return;
    setToken(null);
    setSigned(null);
    setProblem(S.signedOut);
  };
  return html`<${Loaded} resource=${access}>${(access) => {
    const needsToken = token === null && (access.reading === "token" || NEED_TOKEN.includes(screen));
    return needsToken
      ? html`
        <${Frame} screen=${screen} hasNodes=${access.packs} title=${S.signIn}>
          <${SignIn} problem=${problem} onSign=${sign} why=${access.reading === "token" ? S.signInWhy : S.needsToken} />
          <//>
      `
      : html`
        <${Signed} screen=${screen} access=${access} token=${token} problem=${problem} onSign=${sign}
          onError=${onError} />
      `;
  }}<//>`;
}

function Signed({ screen, access, token, problem, onSign, onError }) {
  const status = useResource("/api/status", { interval: STATUS_MILLISECONDS, onError });
  const [title, setTitle] = useState({});
  const onTitle = (text, more = {}) => setTitle({ screen, heading: text, ...more });
  const current = title.screen === screen ? title : {};
  const { value, error } = status;
  const state = error !== undefined
    ? ["bad", S.states.unreachable]
    : value?.isReadOnly
    ? ["warn", S.states.readOnly]
    : value?.problem !== undefined
    ? ["warn", S.states.trouble]
    : ["", S.states.well];
  const heading = current.heading ?? (screen === "overview" ? value?.node : S.screens[screen] ?? S[screen].title);
  const text = current.text ?? (value && `crpe ${value.version} · ${location.host}`);
  const pill = current.pill === undefined ? value && state : [current.kind, current.pill];
  return html`<${Frame} screen=${screen} hasNodes=${access.packs} title=${heading ?? "crpe"} text=${text} pill=${pill}>
    ${
    problem && html`
      <section class="span">
        <${Notice} kind="bad">${problem}<//></section>
    `
  }
    ${
    error && value && html`
      <section class="span">
        <${Notice} kind="warn">${S.offline}<//></section>
    `
  }
    <${Loaded} resource=${status}>${(status) =>
    html`<${
      SCREENS[screen]
    } key=${`${screen} ${token}`} status=${status} access=${access} onTitle=${onTitle} onError=${onError} />`}<//>
    ${
    screen === "overview" && access.changes === "token" && (token === null
      ? html`<${SignIn} why=${S.needsTokenToChange} onSign=${onSign} />`
      : html`<section class="span"><button class="quiet" onClick=${() =>
        onSign(null)}>${S.signOut}</button></section>`)
  }<//>`;
}

function Frame({ screen, title, text, pill, hasNodes, children }) {
  const heading = useRef(undefined);
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = `${title} · crpe`;
  }, [title]);
  useEffect(() => {
    if (!isFirst.current) heading.current?.focus();
    isFirst.current = false;
    scrollTo(0, 0);
  }, [screen]);
  const here = CHANGING.includes(screen) ? "releases" : screen;
  return html`
    <header><div class="mark" aria-hidden="true">c</div>
          <div class="title"><h1 ref=${heading} tabindex="-1">${title}</h1><small>${text ?? " "}</small></div>
          ${pill && html`<${Pill} kind=${pill[0]}>${pill[1]}<//>`}</header>
    <main>${children}</main>
    <nav aria-label=${S.nav}>${Object.entries(ICONS).filter(([name]) => name !== "nodes" || hasNodes).map((
      [name, path],
    ) =>
      html`<a key=${name} href=${`#/${name}`} aria-current=${here === name ? "page" : undefined}>
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d=${path} /></svg>${S.screens[name]}</a>`
    )}</nav>
  `;
}

function SignIn({ problem, why, onSign }) {
  const [error, setError] = useState(undefined);
  const submit = async (event) => {
    event.preventDefault();
    const value = new FormData(event.target).get("token").trim();
    if (value === "") return;
    const before = getToken();
    setToken(value);
    try {
      await get("/api/status");
      onSign(value);
    } catch (failure) {
      setToken(before);
      setError(failure.message);
    }
  };
  return html`<section class="span"><h2>${S.signIn}</h2>
    ${(error ?? problem) && html`<${Notice} kind="bad">${error ?? problem}<//>`}
    <p class="soft gap">${why}</p>
    <form class="drop gap" onSubmit=${submit}><label for="token">${S.tokenLabel}</label>
      <input id="token" name="token" type="password" autocomplete="off" aria-describedby="token-help" />
      <p class="soft" id="token-help">${S.tokenHelp}</p>
      <button>${S.signIn}</button></form></section>`;
}

let codeError;
try {
  await redeemCode();
} catch (error) {
  codeError = error;
}
render(html`<${App} codeError=${codeError} />`, document.getElementById("page"));
