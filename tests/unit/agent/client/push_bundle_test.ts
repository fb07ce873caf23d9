import { ApiTokens } from "../../../../lib/agent/check_token.ts";
import { AgentClient } from "../../../../lib/agent/client/agent_client.ts";
import type { AgentRequest } from "../../../../lib/agent/client/request_agent.ts";
import { AgentError } from "../../../../lib/agent/client/agent_error.ts";
import { pushBundle, type PushOptions } from "../../../../lib/agent/client/push_bundle.ts";
import { collectPackageDigests } from "../../../../lib/install/package_digests.ts";
import type { Digest } from "../../../../lib/oci/digest.ts";
import { CorruptError, IncompleteError, NoSpaceError, RefusedError } from "../../../../lib/oci/error.ts";
import { createAgentHandlerFixture, makeBundle, TOKEN } from "../../../support/agent_handler_fixture.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";
import { makeBytes, streamOf } from "../../../support/content.ts";
import { buildImage } from "../../../support/images.ts";
import { idOf } from "../../../support/kubepkg.ts";
import { listPending } from "../../../support/list_pending.ts";

const SHARED = { "shared.bin": makeBytes(400_000) };
const [OLD, NEW] = [1, 2].map((version) => buildImage({ files: [SHARED, { "version.txt": `${version}` }] }));
const [BUNDLE, NEWER] = [await makeBundle(OLD!), await makeBundle(NEW!, { version: "2.0.0" })];
const LAYER = [...OLD!.blobs].find(([, bytes]) => bytes.length > 300_000)!;

/** The bytes in small chunks, each after a turn of the event loop. */
function slowly(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
  return streamOf(bytes, 16 * 1024).pipeThrough(
    new TransformStream({
      async transform(chunk, controller) {
        await new Promise((resolve) => setTimeout(resolve));
        controller.enqueue(chunk);
      },
    }),
  );
}

type Site = Awaited<ReturnType<typeof createAgentHandlerFixture>>;
type Fault = (request: AgentRequest, bytes: Uint8Array) => Uint8Array | undefined;

/**
 * Pushes through a connection that counts bytes and can fail.
 *
 * @param fault returns the bytes that the agent receives; `undefined` closes the connection
 */
function createPush(site: Site, { fault = (_, bytes) => bytes }: { fault?: Fault } = {}) {
  const asked: string[] = [];
  const waits: number[] = [];
  let blobBytes = 0;
  const send = async ({ method, url, headers, body }: AgentRequest) => {
    const path = url.slice("http://agent.test".length);
    asked.push(`${method} ${path.replace(/sha256:(....).*/, "$1")}`);
    let broken = false;
    const reader = body?.stream.getReader();
    const stream = reader && new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        const received = fault({ method, url, headers, body } as AgentRequest, value);
        if (received === undefined) {
          broken = true;
          return controller.error(new Error("cut"));
        }
        if (path.includes("/blobs/")) blobBytes += received.length;
        controller.enqueue(received);
      },
    }, { highWaterMark: 0 });
    const response = await site.ask(path, { method, headers, token: undefined, ...(stream && { body: stream }) });
    if (broken) throw new AgentError("the connection was cut", { isTransient: true });
    return { status: response.status, bytes: new Uint8Array(await response.arrayBuffer()) };
  };
  const connect = (force: boolean) =>
    new AgentClient({ url: "http://agent.test", token: TOKEN, send, force, stallTimeout: 5000, answerTimeout: 5000 });
  const push = (bundle = BUNDLE, { force = false, ...options }: Partial<PushOptions> & { force?: boolean } = {}) =>
    pushBundle({
      client: connect(force),
      what: "p.tgz",
      open: () => Promise.resolve(streamOf(bundle)),
      size: bundle.length,
      dryRun: false,
      onProgress() {},
      onRetry() {},
      sleep: (delay) => {
        waits.push(delay);
        return Promise.resolve();
      },
      delayOf: (failures) => failures * 10,
      ...options,
    });
  return { push, asked, waits, client: connect(false), blobBytes: () => blobBytes };
}

Deno.test("pushBundle() sends only the missing blobs, and the agent installs", async () => {
  await using site = await createAgentHandlerFixture();
  const { push, asked, blobBytes } = createPush(site);
  const planned = await push(BUNDLE, { dryRun: true });
  assertEquals([planned.document.verdict, planned.sent.blobs, asked], ["install", 4, [
    "POST /kubepkgs/plan?dry-run=true",
  ]]);
  assertEquals(await listPending(site.records.pending), []);

  let progress: [number, number | undefined] = [0, 0];
  const first = await push(BUNDLE, { onProgress: (...now) => progress = now });
  assertEquals([first.document.imported, first.sent.blobs], [true, 4]);
  assertEquals([progress[0], progress[1]], [first.sent.bytes, first.sent.bytes]);
  assertEquals(await listPending(site.records.pending), []);
  // The result is the same as of an import on that machine.
  const { digest } = OLD!.root;
  assertEquals((await site.store.resolve("registry.test/app", "1"))?.digest, digest);
  assertEquals((await site.records.read(idOf("line4")))?.status?.omitted, undefined);

  const before = blobBytes();
  const upgrade = await push(NEWER);
  assertEquals([upgrade.document.verdict, upgrade.sent.blobs], ["upgrade", 3]);
  assert(blobBytes() - before < 5000);
  const again = await push(NEWER);
  assertEquals([again.document.verdict, again.document.imported, again.sent.blobs], ["same", false, 0]);
});

Deno.test("pushBundle() resumes an interrupted blob at its next byte, and its content is not collected", async () => {
  await using site = await createAgentHandlerFixture();
  let left = 350_000;
  const wire = createPush(site, {
    fault: ({ url }, bytes) => !url.includes("/blobs/") || (left -= bytes.length) > 0 ? bytes : undefined,
  });
  const { message } = await assertRejects(() => wire.push(), AgentError);
  assertStringIncludes(message, "cut");
  // The second attempt found bytes of the first, which counts as progress and resets the delay.
  assertEquals(wire.waits, [10, 10, 20, 30, 40, 50]);
  const kept = await collectPackageDigests(site.records);
  assert(kept.has(LAYER[0]));
  const offset = await site.store.statIngest(LAYER[0]);
  assert(offset > 0);
  assertEquals([await site.records.list(), (await site.store.listRepositories()).repositories], [[], []]);

  left = Infinity;
  const { sent } = await wire.push();
  const total = [...OLD!.blobs.values()].reduce((sum, bytes) => sum + bytes.length, 0) +
    OLD!.manifests[0]!.bytes.length;
  assert(sent.bytes <= total - offset);
  assertEquals((await site.records.read(idOf("line4")))?.spec.version, "1.0.0");
});

Deno.test("pushBundle() starts a blob over if its bytes were changed in transit", async () => {
  await using site = await createAgentHandlerFixture();
  let isSpoiled = false;
  const { push, waits } = createPush(site, {
    fault: ({ url }, bytes) => {
      if (isSpoiled || !url.includes(LAYER[0])) return bytes;
      isSpoiled = true;
      const spoiled = bytes.slice();
      spoiled[0]! ^= 1;
      return spoiled;
    },
  });
  assertEquals((await push()).document.imported, true);
  assertEquals([isSpoiled, waits.length], [true, 1]);
});

Deno.test("pushBundle() refuses a blob that is damaged in the bundle, and never sends it completely", async () => {
  await using site = await createAgentHandlerFixture();
  const damaged = BUNDLE.slice();
  damaged[damaged.length - 200_000]! ^= 1;
  const { push } = createPush(site);
  const { message } = await assertRejects(() => push(damaged), CorruptError);
  assertStringIncludes(message, `Cannot push p.tgz: cannot accept ${LAYER[0]}`);
  assertEquals(await site.store.statBlob("", LAYER[0]), undefined);
  assertEquals((await push()).document.imported, true);
});

Deno.test("pushBundle() of concurrent pushes of a package installs it once", async () => {
  await using site = await createAgentHandlerFixture();
  const pushes = [1, 2, 3, 4].map(() => createPush(site));
  // A push that waits for another one must give it time.
  const sleep = () => new Promise<void>((resolve) => setTimeout(resolve, 5));
  const results = await Promise.all(pushes.map(({ push }) => push(BUNDLE, { sleep })));
  assertEquals(results.filter(({ document }) => document.imported).length, 1);
  assertEquals(results.filter(({ document }) => document.verdict === "same").length, 3);
  assertEquals(results.reduce((sum, { sent }) => sum + sent.blobs, 0), 4);
  assertEquals((await site.records.listHistory(idOf("line4"))).length, 0);
  assertEquals(site.leases(), 0);
});

Deno.test("pushBundle() reads on when the agent has answered while a blob was being read", async () => {
  await using site = await createAgentHandlerFixture();
  const { push, client } = createPush(site);
  const putBlob = client.putBlob.bind(client);
  // Another client sends the layer meanwhile, so that the agent answers after its first bytes.
  client.putBlob = async (blob, stream) => {
    if (blob.digest !== LAYER[0]) return await putBlob(blob, stream);
    const reader = stream.getReader();
    await reader.read();
    await putBlob(blob, streamOf(LAYER[1]));
    // The runtime still reads the body for a moment.
    void (async () => {
      while (!(await reader.read()).done);
    })().catch(() => {});
    return false;
  };
  const { document } = await push(BUNDLE, { client, open: () => Promise.resolve(slowly(BUNDLE)) });
  assertEquals(document.imported, true);
});

Deno.test("pushBundle() throws the same error as an import for a bundle that the agent refuses", async () => {
  await using site = await createAgentHandlerFixture();
  const { push, waits } = createPush(site);
  await push(NEWER);
  await assertRejects(() => push(BUNDLE), RefusedError, "2.0.0 is installed, which is higher");
  assertEquals((await push(BUNDLE, { force: true })).document.verdict, "downgrade");
  await assertRejects(() => push(new Uint8Array(500)), CorruptError);

  await using small = await createAgentHandlerFixture({ freeBytes: () => Promise.resolve(1000) });
  await assertRejects(() => createPush(small).push(), NoSpaceError, "are missing");
  await using strict = await createAgentHandlerFixture({ maxBundle: 1000 });
  await assertRejects(() => createPush(strict).push(), RefusedError, "1000 are allowed");
  await using other = await createAgentHandlerFixture({ tokens: new ApiTokens("another") });
  const error = await assertRejects(() => createPush(other).push(), AgentError);
  assertEquals([error.status, error.isTransient], [401, false]);
  assertStringIncludes(error.message, "--token-file");
  assertEquals(waits, []);
});

Deno.test("POST /kubepkgs/plan does not need space for bytes that were received before", async () => {
  let free = Infinity;
  await using site = await createAgentHandlerFixture({ freeBytes: () => Promise.resolve(free) });
  const ingest = await site.store.openIngest(LAYER[0]);
  await ingest.write(LAYER[1].subarray(0, 390_000));
  ingest.keep();
  free = 20_000;
  const { sent } = await createPush(site).push();
  assert(sent.bytes < 20_000);
});

const BLOBS: [what: string, range: string | undefined, bytes: Uint8Array<ArrayBuffer>, status: number][] = [
  ["all bytes", "bytes 0-399999/400000", makeBytes(400_000), 404],
  ["no range", undefined, makeBytes(10), 400],
  ["a range that ends before it begins", "bytes 9-5/10", makeBytes(10), 400],
  ["a range beyond the end", "bytes 0-10/10", makeBytes(10), 400],
];
for (const [what, range, body, status] of BLOBS) {
  Deno.test(`PUT of a blob without a plan, with ${what}, is answered with ${status}`, async () => {
    await using site = await createAgentHandlerFixture();
    const headers: Record<string, string> = range === undefined ? {} : { "content-range": range };
    const response = await site.ask(`/kubepkgs/blobs/${LAYER[0]}`, { method: "PUT", body, headers });
    assertEquals([response.status, await site.listFiles()], [status, []]);
  });
}

Deno.test("PUT of a blob resumes only at the next byte, for one client at a time", async () => {
  await using site = await createAgentHandlerFixture();
  const { push } = createPush(site, { fault: ({ url }, bytes) => url.includes("/blobs/") ? undefined : bytes });
  await assertRejects(() => push());
  const [digest, bytes] = LAYER;
  const size = bytes.length;
  const path = `/kubepkgs/blobs/${digest}`;
  const put = (start: number, end: number, body: BodyInit = bytes.slice(start, end)) =>
    site.ask(path, { method: "PUT", body, headers: { "content-range": `bytes ${start}-${end - 1}/${size}` } });
  const stateOf = async (of: Digest = digest) => await (await site.ask(`/kubepkgs/blobs/${of}`)).json();

  assertEquals((await put(0, 1000)).status, 202);
  assertEquals(await stateOf(), { digest, held: false, offset: 1000, busy: false });
  const conflict = await put(2000, 3000);
  assertEquals([conflict.status, (await conflict.json()).errors[0].detail], [409, { offset: 1000 }]);
  const slow = Promise.withResolvers<void>();
  const sending = put(
    1000,
    2000,
    new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(bytes.slice(1000, 1500));
        await slow.promise;
        controller.enqueue(bytes.slice(1500, 2000));
        controller.close();
      },
    }),
  );
  while (!(await stateOf()).busy) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals((await put(1000, size)).status, 423);
  slow.resolve();
  assertEquals((await sending).status, 202);
  // Another process, or a pull, is writing the same blob.
  const ingest = await site.store.openIngest(digest);
  assertEquals((await put(2000, size)).status, 423);
  ingest.keep();
  const last = await put(2000, size);
  assertEquals([last.status, (await put(0, size)).status], [201, 200]);
  assertEquals(await stateOf(), { digest, held: true, offset: size, busy: false });

  const wrong = await site.ask(`/kubepkgs/blobs/${OLD!.root.digest}`, {
    method: "PUT",
    body: new Uint8Array(OLD!.root.size),
    headers: { "content-range": `bytes 0-${OLD!.root.size - 1}/${OLD!.root.size}` },
  });
  assertEquals([wrong.status, (await stateOf(OLD!.root.digest)).offset], [422, 0]);
});

Deno.test("pushBundle() names omitted blobs that the agent does not hold, before it sends anything", async () => {
  await using site = await createAgentHandlerFixture();
  const { push, asked } = createPush(site);
  const delta = await makeBundle(NEW!, { version: "2.0.0", have: [LAYER[0]] });
  const { message } = await assertRejects(() => push(delta), IncompleteError);
  assertStringIncludes(message, LAYER[0]);
  assertEquals(asked, ["POST /kubepkgs/plan"]);
  await push(BUNDLE);
  assertEquals((await push(delta)).document.verdict, "upgrade");
});
