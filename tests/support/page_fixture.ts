import { ApiTokens } from "../../lib/agent/check_token.ts";
import type { Digest } from "../../lib/oci/digest.ts";
import { CorruptError, RefusedError, RegistryError } from "../../lib/oci/error.ts";
import { formatPlatform } from "../../lib/oci/platform.ts";
import { formatReference } from "../../lib/oci/reference.ts";
import { ASSET_FILES } from "../../lib/page/asset_files.ts";
import { PageAssets } from "../../lib/page/page_assets.ts";
import { createPageHandler } from "../../lib/page/page_handler.ts";
import type { PageOptions, PageSource } from "../../lib/page/page_options.ts";
import { PairingCodes } from "../../lib/page/pairing_codes.ts";
import { assert, assertEquals } from "./assert.ts";
import { makeKubePkg } from "./kubepkg.ts";
import { TestFolder } from "./test_folder.ts";

export const TOKEN = "a-token-of-a-test";
export const LOCAL = { remoteAddress: "127.0.0.1", localAddress: "127.0.0.1" };
export const REMOTE = { remoteAddress: "192.168.1.7", localAddress: "192.168.1.20" };
export const AT_HOME = "http://127.0.0.1:36060";
export const AT_SITE = "http://192.168.1.20:36060";

export const CONTENT = "0123456789";
export const BUNDLE: Digest = `sha256:${"a".repeat(64)}`;
export const OTHER: Digest = `sha256:${"b".repeat(64)}`;

/** The address of an agent. */
export const NODE = "https://192.168.1.20:36060";
/** The text of a release. */
export const TEXT = JSON.stringify(makeKubePkg({}));
export const RELEASE = { name: "line4", namespace: "default", version: "1.0.0", images: [], objects: 1, warnings: [] };

function countEnd(onEnd: () => void): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  return new TransformStream({ flush: onEnd });
}

/** Creates the handler of a page whose functions record their calls. */
export async function createPageFixture(options: Partial<PageOptions> = {}) {
  const folder = await TestFolder.create();
  const calls: unknown[] = [];
  const errors: unknown[] = [];
  const source: PageSource = {
    readStatus: () => Promise.resolve({ node: "<img src=x onerror=alert(1)>" }),
    listImages: () => Promise.resolve({ images: [] }),
    listPackages: () => Promise.resolve({ packages: [] }),
    outbox: {
      list: () => Promise.resolve({ bundles: [] }),
      open: (digest) =>
        Promise.resolve(
          digest !== BUNDLE ? undefined : {
            name: "line4@1.0.0.tgz",
            size: CONTENT.length,
            stream: (start, length) => {
              const part = CONTENT.slice(start, start + length);
              return Promise.resolve(new Blob([part]).stream().pipeThrough(countEnd(() => calls.push("closed"))));
            },
            close: () => calls.push("closed"),
          },
        ),
      remove: (digest) => Promise.resolve(digest === BUNDLE),
    },
    desk: {
      inventories: {
        list: () => Promise.resolve({ inventories: [] }),
        save: (name, bytes) => Promise.resolve(void calls.push(["inventory", name, bytes.length])),
        read: (name) =>
          name === "gate-2"
            ? Promise.resolve(new Set([BUNDLE]))
            : Promise.reject(new RegistryError("NOT_FOUND", "there is none of that name")),
        remove: (name) => Promise.resolve(void calls.push(["no inventory", name])),
      },
      describe(kubepkg) {
        if (kubepkg.metadata.name === "wrong") throw new CorruptError("Cannot use the release: an object is wrong");
        return { ...RELEASE, kubepkg };
      },
      pack: async (release, { platforms, have }, { signal, onProgress }) => {
        calls.push([release.name, platforms.map(formatPlatform), ...(have === undefined ? [] : [have.has(BUNDLE)])]);
        onProgress({ bytes: 1, total: 2 });
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        onProgress({ bytes: 2, total: 2 });
      },
    },
    readInventoryCode: () => Promise.resolve('{"node":"gate-2"}'),
    images: {
      pull: (image, platforms) =>
        Promise.resolve(calls.push(["pull", formatReference(image), platforms.map(formatPlatform)])),
      remove: (image) =>
        image.path.endsWith("pinned")
          ? Promise.reject(new RefusedError("Cannot remove it: it is pinned"))
          : Promise.resolve({ reference: formatReference(image) }),
    },
    registries: {
      list: () => Promise.resolve({ registries: [] }),
      save: (host, settings) => Promise.resolve({ host, saved: calls.push(["registry", host, settings]) }),
      test: (host, settings) => Promise.resolve({ host, tested: calls.push(["test", host, settings]) }),
      remove: (host) => Promise.resolve(void calls.push(["no registry", host])),
    },
    nodes: {
      list: () => Promise.resolve({ nodes: [{ url: NODE }] }),
      search: () => Promise.resolve({ found: [] }),
      add: (addition) => Promise.resolve({ url: addition.address, added: calls.push(addition) }),
      remove: (url) => Promise.resolve(void calls.push(["forget", url])),
      plan: (...plan) => Promise.resolve({ verdict: "install", number: calls.push(["plan", ...plan]) }),
      send: (url, bundle, { job, ...options }) => {
        calls.push(["send", url, bundle, options]);
        job.onProgress({ bytes: 1, total: 1 });
        return Promise.resolve({ imported: true });
      },
      change: (...change) => {
        calls.push(["change", ...change]);
        return Promise.resolve({ status: 409, bytes: new TextEncoder().encode('{"errors":[]}') });
      },
    },
    examine: () => Promise.reject(new Error("the disk is gone")),
    actions: {
      rollBack: (change) => Promise.resolve(calls.push(["rollback", change])),
      remove: (change) => Promise.resolve(calls.push(["remove", change])),
      readStatus: (selector) => {
        calls.push(["status", selector]);
        return Promise.resolve({ state: "applied" });
      },
    },
  };
  const codes = new PairingCodes(folder.path);
  const handler = createPageHandler({
    source,
    tokens: new ApiTokens(TOKEN),
    codes,
    isPrivate: false,
    acceptsOnlySigned: false,
    isOwnHost: (host) => ["127.0.0.1", "192.168.1.20", "localhost"].includes(host),
    describeError: (error) => (error as Error).message,
    onError: (error) => errors.push(error),
    ...options,
  }, new PageAssets(ASSET_FILES));
  return { folder, codes, calls, errors, handler, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

/** The header of a client that has the token. */
export const AUTH = { authorization: `Bearer ${TOKEN}` };

/** A request, and the status of its response. */
export interface PageRow {
  readonly name: string;
  readonly path: string;
  readonly at?: string;
  readonly from?: typeof LOCAL;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly options?: Partial<PageOptions>;
  readonly status: number;
}

/** Tests that each request is answered with its status, and that no response has the token. */
export function testRows(rows: readonly PageRow[]): void {
  for (const { name, path, at = AT_HOME, from = LOCAL, method = "GET", headers = {}, body, options, status } of rows) {
    Deno.test(`page: ${name} is answered with ${status}`, async () => {
      await using fixture = await createPageFixture(options);
      const request = new Request(`${at}${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
      const response = await fixture.handler(request, from);
      assertEquals(response.status, status);
      const text = await response.text();
      if (method === "HEAD") assertEquals(text, "");
      else if (status >= 400) assertEquals(Array.isArray(JSON.parse(text).errors), true);
      assertEquals(response.headers.has("www-authenticate"), status === 401);
      assertEquals(response.headers.get("x-content-type-options"), "nosniff");
      const policy = response.headers.get("content-security-policy");
      assert(policy?.startsWith("default-src 'none'; ") && policy.includes("frame-ancestors 'none'"), `${policy}`);
      assertEquals(response.headers.has("allow"), status === 405);
      assertEquals(fixture.errors.length, status === 500 ? 1 : 0);
      assert(!text.includes(TOKEN), "the token is not told");
    });
  }
}
