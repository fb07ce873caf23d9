import { PullThrough } from "../../../lib/cache/pull_through.ts";
import type { Upstream } from "../../../lib/cache/upstream.ts";
import { type Digest, isDigest } from "../../../lib/oci/digest.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { createRegistryHandler } from "../../../lib/registry/handler.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { LinkedStore } from "../../../lib/store/linked_store.ts";
import { assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { type Content, makeBlob, makeManifest, streamOf, UNKNOWN_DIGEST } from "../../support/content.ts";
import { FakeUpstream, unreachable } from "../../support/fake_upstream.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const [config, layer] = [makeBlob(100, 1), makeBlob(5000, 2)];
const manifest = makeManifest(config, [layer]);
const referrer = makeManifest(layer, [], manifest);

const BLOB_METHODS = ["statBlob", "openBlobWith"];
const MANIFEST_METHODS = ["resolve", "headManifest", "readManifest"];

/**
 * Makes an upstream whose blobs do not include its manifests, nor the reverse, as in most registries.
 *
 * @param isAllowed reports whether the upstream may be asked
 */
function makeStrict(upstream: FakeUpstream, isAllowed: () => boolean): Upstream {
  const isManifest = (digest: unknown) =>
    upstream.content.get(digest as Digest)?.descriptor.mediaType.includes("manifest") ?? false;
  return new Proxy(upstream as Upstream, {
    get(_, name) {
      if (name === "allows") return isAllowed;
      const method: unknown = Reflect.get(upstream, name);
      if (typeof method !== "function") return method;
      return (...args: unknown[]) => {
        const isWrong = BLOB_METHODS.includes(String(name)) && isManifest(args[1]) ||
          MANIFEST_METHODS.includes(String(name)) && isDigest(args[1]) && !isManifest(args[1]);
        return isWrong || !isAllowed() ? Promise.resolve(undefined) : method.apply(upstream, args);
      };
    },
  });
}

async function open(...held: Content[]) {
  const folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  for (const { descriptor, bytes } of held) {
    if (descriptor.mediaType.includes("manifest")) await store.writeManifest(REPO, descriptor, bytes);
    else await store.writeBlob(REPO, descriptor, streamOf(bytes));
  }
  const upstream = new FakeUpstream(config, layer, manifest);
  const it = { isAllowed: true };
  upstream.tags.set("1.0", manifest.descriptor.digest);
  let time = 0;
  const serve = (from: Upstream | undefined) => {
    const linked = new LinkedStore(new DiskStore(folder.path));
    return createRegistryHandler(new PullThrough({ store: linked, upstream: from, now: () => time }));
  };
  const online = serve(makeStrict(upstream, () => it.isAllowed));
  const get = async (path: string, { handler = online, method = "GET" } = {}) => {
    const response = await handler(new Request(`http://crpe/v2/${path}`, { method }));
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, type: response.headers.get("content-type") };
  };
  return Object.assign(it, {
    store,
    upstream,
    get,
    wait: (milliseconds: number) => time += milliseconds,
    offline: () => serve(undefined),
    async [Symbol.asyncDispose]() {
      // A download that no client waits for any more may still be committing its blob.
      for (let attempt = 1;; attempt++) {
        try {
          return await folder[Symbol.asyncDispose]();
        } catch (error) {
          if (attempt === 20) throw error;
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      }
    },
  });
}

Deno.test("[74] a manifest that is requested as a blob has the status and type of the manifest, cold, warm and offline", async () => {
  const { digest, mediaType, size } = manifest.descriptor;
  for (const method of ["GET", "HEAD"]) {
    await using it = await open();
    const path = `${REPO}/blobs/${digest}`;
    const cold = await it.get(path, { method });
    const asManifest = await it.get(`${REPO}/manifests/${digest}`, { method });
    for (const blob of [config, layer]) await it.get(`${REPO}/blobs/${blob.descriptor.digest}`);
    const warm = await it.get(path, { method });
    const offline = await it.get(path, { method, handler: it.offline() });
    for (const answer of [cold, asManifest, warm, offline]) {
      assertEquals([answer.status, answer.type, answer.headers.get("content-length")], [200, mediaType, String(size)]);
    }
    for (const root of [REPO, "other.example/x"]) {
      const other = await it.get(`${root}/manifests/${layer.descriptor.digest}`, { method });
      assertEquals(other.status, 404, "a layer is no manifest");
    }
  }
});

Deno.test("[74] a blob is served only under the name of its repository", async () => {
  await using it = await open(config, layer, manifest);
  it.isAllowed = false;
  for (const { descriptor: { digest } } of [layer, manifest]) {
    for (const method of ["GET", "HEAD"]) {
      assertEquals((await it.get(`${REPO}/blobs/${digest}`, { method })).status, 200);
      assertEquals((await it.get(`other.example/x/blobs/${digest}`, { method })).status, 404);
      assertEquals((await it.get(`registry.example/team/other/blobs/${digest}`, { method })).status, 404);
    }
  }
});

Deno.test("[74] a blob of another repository is served if the upstream has it in this one, and then from the store", async () => {
  await using it = await open(config, layer, manifest);
  const path = `registry.example/team/other/blobs/${layer.descriptor.digest}`;
  assertEquals((await it.get(path)).status, 200);
  // The link is written after the last byte was sent.
  for (
    let i = 0;
    i < 100 && !await it.store.isLinkedBlob("registry.example/team/other", layer.descriptor.digest);
    i++
  ) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assertEquals((await it.get(path, { handler: it.offline() })).status, 200);
});

const failures: [what: string, failure: Error, statusOfUnstored: number][] = [
  ["cannot be reached", unreachable(), 503],
  ["refuses the login", new RegistryError("DENIED", "Cannot list: denied", { status: 404 }), 404],
  ["limits requests", new RegistryError("TOOMANYREQUESTS", "Cannot list: too many requests", { retryAfter: 7 }), 429],
  ["has a broken list", new RegistryError("BAD_GATEWAY", "Cannot list: it is broken"), 502],
];
for (const [what, failure, status] of failures) {
  Deno.test(`[74] [76] the tags of a repository that is not stored are ${status} when the upstream ${what}`, async () => {
    await using it = await open();
    it.upstream.failure = failure;
    const tags = await it.get(`${REPO}/tags/list`);
    assertEquals([tags.status, tags.headers.has("retry-after")], [status, status === 429 || status === 503]);
  });

  Deno.test(`[73] a list says that it may be incomplete when the upstream ${what}`, async () => {
    await using it = await open(config, layer, manifest, referrer);
    await it.store.tag(REPO, "1.0", manifest.descriptor.digest);
    it.upstream.failure = failure;
    const tags = await it.get(`${REPO}/tags/list`);
    const referrers = await it.get(`${REPO}/referrers/${manifest.descriptor.digest}`);
    assertEquals(JSON.parse(tags.text).tags, ["1.0"]);
    assertEquals(JSON.parse(referrers.text).manifests.length, 1);
    for (const { status, headers } of [tags, referrers]) {
      assertEquals(status, 200);
      assertStringIncludes(headers.get("warning") ?? "", "110 ");
    }
  });
}

Deno.test("[73] a list that the upstream gave, or that needs no upstream, has no warning", async () => {
  await using it = await open(config, layer, manifest);
  await it.store.tag(REPO, "1.0", manifest.descriptor.digest);
  for (const handler of [undefined, it.offline()]) {
    for (const path of [`${REPO}/tags/list`, `${REPO}/referrers/${manifest.descriptor.digest}`]) {
      assertEquals((await it.get(path, { handler })).headers.get("warning"), null);
    }
  }
  it.isAllowed = false;
  assertEquals((await it.get(`${REPO}/tags/list`)).headers.get("warning"), null);
});

Deno.test("[73] a page of tags is one request to the upstream, with its limit", async () => {
  await using it = await open();
  for (let i = 0; i < 50; i++) it.upstream.tags.set(`v${i}`, manifest.descriptor.digest);
  const { text, headers } = await it.get(`${REPO}/tags/list?n=2&last=v10`);
  assertEquals(JSON.parse(text).tags, ["v11", "v12"]);
  assertEquals(headers.get("link"), `</v2/${REPO}/tags/list?n=2&last=v12>; rel="next"`);
  assertEquals(it.upstream.asked, ["tags"]);
});

interface Missing {
  readonly what: string;
  readonly path: string;
  readonly arrange?: (it: Awaited<ReturnType<typeof open>>) => void;
  readonly isOffline?: boolean;
  readonly reason: string;
  readonly similarTags?: string[];
}
const missing: Missing[] = [
  {
    what: "a host that is not configured",
    path: "manifests/1.0",
    arrange: (it) => it.isAllowed = false,
    reason:
      "registry.example is not configured as an upstream; name it with --upstream registry.example, beside the others that are needed",
  },
  { what: "an offline server", path: "manifests/1.0", isOffline: true, reason: "no upstream may be used (--offline)" },
  {
    what: "an unknown repository",
    path: "manifests/1.0",
    arrange: ({ upstream }) => {
      upstream.tags.clear();
      upstream.listTags = () => Promise.resolve(undefined);
    },
    reason: "registry.example has no repository team/app, or shows it only with a login",
  },
  {
    what: "an unknown tag",
    path: "manifests/1.00",
    reason: "registry.example has the repository team/app, but no such tag; similar tags: 1.0",
    similarTags: ["1.0"],
  },
  {
    what: "a refused login",
    path: "manifests/2.0",
    arrange: ({ upstream }) => {
      upstream.listTags = () => Promise.reject(new RegistryError("DENIED", "Cannot list: denied"));
    },
    reason: "registry.example refused access to team/app; check the credentials for registry.example",
  },
  { what: "an unknown digest", path: `manifests/${UNKNOWN_DIGEST}`, reason: "but no content with this digest" },
  { what: "an unknown blob", path: `blobs/${UNKNOWN_DIGEST}`, reason: "but no content with this digest" },
  {
    what: "the tags of a host that is not configured",
    path: "tags/list",
    arrange: (it) => it.isAllowed = false,
    reason:
      "registry.example is not configured as an upstream; name it with --upstream registry.example, beside the others that are needed",
  },
  {
    what: "the tags of an unknown repository",
    path: "tags/list",
    arrange: ({ upstream }) => {
      upstream.listTags = () => Promise.resolve(undefined);
    },
    reason: "registry.example has no repository team/app, or shows it only with a login",
  },
  {
    what: "the tags of a registry that refuses the login",
    path: "tags/list",
    arrange: ({ upstream }) => {
      upstream.listTags = () => Promise.reject(new RegistryError("DENIED", "Cannot list: denied"));
    },
    reason: "registry.example refused access to team/app; check the credentials for registry.example",
  },
];
for (const { what, path, arrange, isOffline, reason, similarTags } of missing) {
  Deno.test(`a 404 names the cause: ${what}`, async () => {
    await using it = await open();
    arrange?.(it);
    const { status, text } = await it.get(`${REPO}/${path}`, isOffline ? { handler: it.offline() } : {});
    const [{ message, detail }] = JSON.parse(text).errors;
    assertEquals(status, 404);
    assertStringIncludes(message, reason);
    assertEquals(detail.similarTags, similarTags);
  });
}

Deno.test("the cause of a 404 costs one request to the upstream in a minute, and none for HEAD", async () => {
  await using it = await open();
  const listed = () => it.upstream.asked.filter((what) => what === "tags").length;
  await it.get(`${REPO}/manifests/9.9`, { method: "HEAD" });
  assertEquals(listed(), 0);
  for (const tag of ["2.0", "3.0", "4.0"]) await it.get(`${REPO}/manifests/${tag}`);
  assertEquals(listed(), 1);
  it.wait(60_001);
  await it.get(`${REPO}/manifests/2.0`);
  assertEquals(listed(), 2);
});
