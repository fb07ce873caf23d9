import "axe-core";
import { type Browser, chromium as playwright, type Page } from "playwright-core";
import { findPeer } from "./peers.ts";

/** A phone held in one hand, and a desk. */
export const VIEWPORTS = { phone: { width: 360, height: 640 }, desk: { width: 1280, height: 800 } } as const;

/** Options of a page in the browser. */
export interface OpenPageOptions {
  readonly viewport?: keyof typeof VIEWPORTS;
  readonly isDark?: boolean;
}

/** A connection to a real Chromium. Its pages are closed when this is disposed of. */
export interface TestBrowser extends AsyncDisposable {
  /** The process of Chromium. */
  readonly pid: number;
  /** Opens an empty page with a storage of its own. Its requests and problems are recorded. */
  open(options?: OpenPageOptions): Promise<WatchedPage>;
}

/** A page, with what the browser has reported about it. */
export interface WatchedPage {
  readonly page: Page;
  /** Hosts that were asked, other than 127.0.0.1. */
  readonly foreign: string[];
  /** Violations of the CSP, and exceptions. Failed requests are not among them. */
  readonly problems: string[];
}

// No sandbox, because tests run as root; and nothing of the browser's own is asked for over the network.
const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--no-first-run",
  "--remote-debugging-port=0",
];

/** A running process of Chromium, and the folder of its profile and its home. */
interface Chromium {
  readonly child: Deno.ChildProcess;
  readonly folder: string;
}

// Started once for all tests of a worker, outside of any of them; each connects anew, and its pages have storage of their own.
const chromium = findPeer("chromium") === undefined ? undefined : await startChromium();
addEventListener("unload", () => {
  if (chromium !== undefined) endChromium(chromium);
});

async function startChromium(): Promise<Chromium> {
  const folder = await Deno.makeTempDir({ prefix: "crpe-chromium-" });
  const child = new Deno.Command(findPeer("chromium")!, {
    args: [...FLAGS, `--user-data-dir=${folder}/profile`, "about:blank"],
    env: { HOME: folder },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  child.unref();
  return { child, folder };
}

function endChromium({ child, folder }: Chromium): void {
  child.kill("SIGKILL");
  for (let tries = 0; tries < 50; tries++) {
    try {
      return Deno.removeSync(folder, { recursive: true });
    } catch {
      // The children of Chromium write into it until they notice that it has ended.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
}

/** Connects to Chromium. @param isOwn whether to one that no other test has used, as for a measurement */
export async function startBrowser({ isOwn = false } = {}): Promise<TestBrowser> {
  const used = isOwn ? await startChromium() : chromium!;
  const browser = await playwright.connectOverCDP(await findDevTools(`${used.folder}/profile/DevToolsActivePort`));
  return {
    pid: used.child.pid,
    open: (options) => openPage(browser, options),
    async [Symbol.asyncDispose]() {
      await browser.close();
      if (!isOwn) return;
      endChromium(used);
      await used.child.status;
    },
  };
}

/** Reads the URL at which Chromium listens from the file that it writes when it does. */
async function findDevTools(file: string): Promise<string> {
  for (let tries = 0; tries < 600; tries++) {
    const [port, path] = await Deno.readTextFile(file).then((text) => text.split("\n"), () => []);
    if (port !== undefined && path !== undefined) return `ws://127.0.0.1:${port}${path}`;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("Cannot start Chromium");
}

async function openPage(
  browser: Browser,
  { viewport = "phone", isDark = false }: OpenPageOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({
    viewport: VIEWPORTS[viewport],
    colorScheme: isDark ? "dark" : "light",
    reducedMotion: "reduce",
    isMobile: viewport === "phone",
    hasTouch: viewport === "phone",
  });
  const page = await context.newPage();
  const [foreign, problems]: [string[], string[]] = [[], []];
  page.on("request", (request) => {
    const { protocol, hostname } = new URL(request.url());
    if (protocol.startsWith("http") && hostname !== "127.0.0.1") foreign.push(request.url());
  });
  page.on("pageerror", (error) => problems.push(error.stack ?? String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
      problems.push(message.text());
    }
  });
  return { page, foreign, problems };
}

const AXE = await Deno.readTextFile(new URL(import.meta.resolve("axe-core")));

/**
 * Lists the serious and critical findings of axe-core, an examination for accessibility.
 *
 * @param options.isDark the page in the dark differs in its colours only
 */
export async function findBarriers(page: Page, { isDark = false }: { isDark?: boolean } = {}): Promise<string[]> {
  if (!await page.evaluate<boolean>("typeof axe === 'object'")) await page.evaluate(`${AXE}; undefined`);
  const options = isDark ? { runOnly: ["color-contrast", "link-in-text-block"] } : {};
  const { passes, found } = await page.evaluate<{ passes: number; found: string[] }>(
    `axe.run(document, ${JSON.stringify(options)}).then(({ passes, violations }) => ({
      passes: passes.length,
      found: violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
        .map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html).join(" ")),
    }))`,
  );
  if (passes < (isDark ? 1 : 10)) throw new Error(`Cannot examine the page: only ${passes} rules were applied`);
  return found;
}

/** Chooses a file in an input, as a person does. The browser reads it from the disk itself. */
export async function chooseFile(page: Page, selector: string, path: string): Promise<void> {
  await page.locator(selector).waitFor();
  const session = await page.context().newCDPSession(page);
  const expression = `document.querySelector(${JSON.stringify(selector)})`;
  const { result } = await session.send("Runtime.evaluate", { expression });
  await session.send("DOM.setFileInputFiles", { files: [path], objectId: result.objectId! });
  await session.detach();
}

/**
 * Writes a picture of the page into the folder that `$CRPE_SCREENSHOTS` names, if it is set.
 *
 * @param name the name of the file, without `.png`
 */
export async function takeScreenshot(page: Page, name: string): Promise<void> {
  const folder = Deno.env.get("CRPE_SCREENSHOTS");
  if (!folder) return;
  await Deno.mkdir(folder, { recursive: true });
  await page.screenshot({ path: `${folder}/${name}.png` });
}
