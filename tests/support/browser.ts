import "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";
import { findPeer } from "./peers.ts";
import { TestFolder } from "./test_folder.ts";

/** A phone held in one hand, and a desk. */
export const VIEWPORTS = { phone: { width: 360, height: 640 }, desk: { width: 1280, height: 800 } } as const;

/** Options of a page in the browser. */
export interface OpenPageOptions {
  readonly viewport?: keyof typeof VIEWPORTS;
  readonly isDark?: boolean;
}

/** A real Chromium. It is ended when this is disposed of. */
export interface TestBrowser extends AsyncDisposable {
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

/** Starts Chromium with a profile in a temporary folder. */
export async function startBrowser(): Promise<TestBrowser> {
  const folder = await TestFolder.create();
  const child = new Deno.Command(findPeer("chromium")!, {
    args: [...FLAGS, `--user-data-dir=${folder.path}/profile`, "about:blank"],
    env: { HOME: folder.path },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const listening = Promise.withResolvers<string>();
  let log = "";
  const reading = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      log += text;
      const url = /DevTools listening on (ws:\S+)/.exec(log)?.[1];
      if (url !== undefined) listening.resolve(url);
    }
    listening.reject(new Error(`Cannot start Chromium: ${log}`));
  })();
  listening.promise.catch(() => {});
  const browser: Browser = await chromium.connectOverCDP(await listening.promise);
  return {
    pid: child.pid,
    open: (options) => openPage(browser, options),
    async [Symbol.asyncDispose]() {
      await browser.close();
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended already.
      }
      await Promise.all([child.status, reading]);
      await folder[Symbol.asyncDispose]();
    },
  };
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

/** Lists the serious and critical findings of axe-core, an examination for accessibility. */
export async function findBarriers(page: Page): Promise<string[]> {
  const source = await Deno.readTextFile(new URL(import.meta.resolve("axe-core")));
  await page.evaluate(`${source}; undefined`);
  const { passes, found } = await page.evaluate<{ passes: number; found: string[] }>(
    `axe.run(document).then(({ passes, violations }) => ({
      passes: passes.length,
      found: violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
        .map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html).join(" ")),
    }))`,
  );
  if (passes < 10) throw new Error(`Cannot examine the page: only ${passes} rules were applied`);
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
