import { createProcessIo } from "../../../../lib/cli/console/io.ts";
import { Log } from "../../../../lib/cli/serving/log.ts";
import { createPageNodes } from "../../../../lib/cli/serving/page_nodes.ts";
import type { ServerContext } from "../../../../lib/cli/serving/serve_registry.ts";
import { Outbox } from "../../../../lib/bundle/outbox.ts";
import { packBundle } from "../../../support/pack_bundle.ts";
import { parseKubePkg } from "../../../../lib/kubepkg/parse_kubepkg.ts";
import type { SiteTrust } from "../../../../lib/install/trust.ts";
import { createSelfSigned, fingerprintOf, readCertificate } from "../../../../lib/agent/self_signed.ts";
import { createKeyPair, parsePrivateKey } from "../../../../lib/signature/keys.ts";
import { createSigner } from "../../../../lib/signature/signature_lines.ts";
import { TrustPolicy } from "../../../../lib/signature/trust_policy.ts";
import { RefusedError, RegistryError, UntrustedError } from "../../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";
import { buildImage } from "../../../support/images.ts";
import { makeKubePkg } from "../../../support/kubepkg.ts";
import { MemoryStore } from "../../../support/memory_store.ts";
import { writeImage } from "../../../support/put_image.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const TOKEN = "a-token-of-a-test";

async function createFixture(readTrust?: () => Promise<SiteTrust | undefined>) {
  const folder = await TestFolder.create();
  const io = { ...createProcessIo(), err: () => {} };
  const log = new Log(io, { format: "text", isVerbose: false });
  const settings = { data: folder.path } as ServerContext["settings"];
  const outbox = new Outbox(folder.path);
  const nodes = createPageNodes(io, { context: { settings, log }, outbox, readTrust });
  const add = (address: string, fingerprint?: string, isInsecureAllowed = true) =>
    nodes.add({ address, token: TOKEN, ca: undefined, fingerprint, isInsecureAllowed });
  return { folder, outbox, nodes, add, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

for (const address of ["", "ftp://node1", "http://127.0.0.1:1/#t=%"]) {
  Deno.test(`an addition of the address ${JSON.stringify(address)} is refused as invalid`, async () => {
    await using site = await createFixture();
    const error = await assertRejects(() => site.add(address), RegistryError, "Cannot add the agent: write https://");
    assertEquals(error.code, "INVALID");
  });
}

/** Starts an agent that answers each request so. */
function startAgent(answer: (request: Request) => Response | Promise<Response>) {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, answer);
  return { url: `http://127.0.0.1:${server.addr.port}`, [Symbol.asyncDispose]: () => server.shutdown() };
}

function answerState({ url }: Request): Response {
  return Response.json(new URL(url).pathname === "/api/status" ? { node: "gate-2" } : { packages: [] });
}

Deno.test("an agent on this machine is added", async () => {
  await using site = await createFixture();
  await using agent = startAgent(answerState);
  await site.add(agent.url);
  const { nodes } = await site.nodes.list() as { nodes: { url: string; state: string }[] };
  assertEquals(nodes.map(({ url, state }) => [url, state]), [[agent.url, "ready"]]);
});

Deno.test("of each installed package the bundles that would be a downgrade are named", async () => {
  await using site = await createFixture();
  const packages = [
    { name: "line4", namespace: "default", version: "1.1.0" },
    { name: "line4", namespace: "shop", version: "9.0.0" },
    { name: "line5", namespace: "default", version: "not a version" },
  ];
  await using agent = startAgent((request) =>
    new URL(request.url).pathname === "/api/packages" ? Response.json({ packages }) : answerState(request)
  );
  await site.add(agent.url);
  const digests: Record<string, string> = {};
  for (const version of ["1.0.0", "1.1.0-rc.1", "1.1.0", "1.10.0"]) {
    const kubepkg = parseKubePkg(makeKubePkg({}, { version }));
    const { tgzDigest } = await site.outbox.add(
      `line4@${version}.tgz`,
      (output) => packBundle(kubepkg, new MemoryStore(), { output, hashOutput: true }),
    );
    digests[version] = tgzDigest!;
  }
  const { nodes: [node] } = await site.nodes.list() as { nodes: { packages: { lower: string[] }[] }[] };
  const lower = [digests["1.0.0"]!, digests["1.1.0-rc.1"]!].sort();
  assertEquals(node!.packages.map(({ lower }) => lower.toSorted()), [lower, [], []]);
});

Deno.test("a search is refused with a reason where the system does not list the network interfaces", async () => {
  await using site = await createFixture();
  const original = Deno.networkInterfaces;
  Deno.networkInterfaces = () => {
    throw new Error("Permission denied (os error 13)");
  };
  try {
    const error = await assertRejects(() => site.nodes.search(), RegistryError, "add the agent by its address");
    assertEquals(error.code, "UNAVAILABLE");
  } finally {
    Deno.networkInterfaces = original;
  }
});

for (const when of ["waits for the answer", "waits before a retry"] as const) {
  Deno.test(`a sending that is stopped while it ${when} ends at once, and sends nothing more`, async () => {
    await using site = await createFixture();
    const asked = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    let requests = 0;
    await using agent = startAgent(async (request) => {
      if (request.method === "GET") return answerState(request);
      requests++;
      await request.body?.cancel();
      asked.resolve();
      if (when === "waits before a retry") return new Response(null, { status: 503 });
      await released.promise;
      return Response.json({});
    });
    await site.add(agent.url);
    const { tgzDigest } = await site.outbox.add(
      "line4@1.0.0.tgz",
      (output) => packBundle(parseKubePkg(makeKubePkg({})), new MemoryStore(), { output, hashOutput: true }),
    );
    const abort = new AbortController();
    const job = { signal: abort.signal, onProgress: () => {} };
    const sending = site.nodes.send(agent.url, tgzDigest!, { force: false, pruneData: false, job });
    const outcome = sending.then(() => "sent", (error) => error);
    await asked.promise;
    abort.abort();
    const error = await outcome;
    assert(error instanceof Error && error.name === "AbortError", `${error}`);
    await site.nodes.list();
    assertEquals(requests, 1);
    released.resolve();
  });
}

for (
  const [what, planned, done, expected] of [
    ["of its plan, and each once", { warnings: ["a", "b"] }, { warnings: ["b", "c"] }, ["a", "b", "c"]],
    ["of the installation alone", {}, { warnings: ["c"] }, ["c"]],
    ["of an agent that has none", {}, {}, undefined],
  ] as const
) {
  Deno.test(`a sending gives the warnings ${what}`, async () => {
    await using site = await createFixture();
    const plan = { name: "line4", version: "1.0.0", verdict: "install", missing: [], ...planned };
    await using agent = startAgent(async (request) => {
      if (request.method === "GET") return answerState(request);
      await request.body?.cancel();
      return Response.json(request.method === "POST" ? plan : { imported: true, ...done });
    });
    await site.add(agent.url);
    const store = new MemoryStore();
    await writeImage(store, "registry.test/app:1", buildImage({ files: [{ a: "a" }] }));
    const { tgzDigest } = await site.outbox.add(
      "line4@1.0.0.tgz",
      (output) =>
        packBundle(parseKubePkg(makeKubePkg({ "registry.test/app:1": "" })), store, { output, hashOutput: true }),
    );
    const job = { signal: new AbortController().signal, onProgress: () => {} };
    const sent = await site.nodes.send(agent.url, tgzDigest!, { force: false, pruneData: false, job });
    assertEquals((sent as { warnings?: string[] }).warnings, expected && [...expected]);
  });
}

Deno.test("[107] an agent that is added by its link is reached by the certificate of the link alone", async () => {
  await using site = await createFixture();
  const identity = createSelfSigned(["gate-2"]);
  const paths: string[] = [];
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, ...identity, onListen() {} }, (request) => {
    const { pathname } = new URL(request.url);
    paths.push(pathname);
    return pathname === "/api/session" ? Response.json({ token: TOKEN }) : answerState(request);
  });
  const { port } = server.addr;
  const [, hex] = fingerprintOf(readCertificate(identity.cert)!).split(":");
  const linkOf = (sha256: string) => `http://127.0.0.1:1/#t=abc234&tls=${port}&sha256=${sha256}`;
  await assertRejects(() => site.add(linkOf("0".repeat(64))), RefusedError, "another machine may answer in its place");
  assertEquals(paths, []);
  await site.add(linkOf(hex!));
  const { nodes } = await site.nodes.list() as { nodes: { url: string; state: string }[] };
  assertEquals(nodes.map(({ url, state }) => [url, state]), [[`https://127.0.0.1:${port}`, "ready"]]);
  assertEquals(paths[0], "/api/session");
});

Deno.test("[107] an agent with its own certificate is added by its address and its fingerprint", async () => {
  await using site = await createFixture();
  const identity = createSelfSigned(["gate-2"]);
  const paths: string[] = [];
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, ...identity, onListen() {} }, (request) => {
    paths.push(new URL(request.url).pathname);
    return answerState(request);
  });
  const host = `127.0.0.1:${server.addr.port}`;
  const fingerprint = fingerprintOf(readCertificate(identity.cert)!);
  const colons = fingerprint.slice("sha256:".length).toUpperCase().replace(/..(?=.)/g, "$&:");
  const rows: readonly [
    address: string,
    fingerprint: string | undefined,
    Kind: new (...args: never[]) => Error,
    message: string,
  ][] = [
    [`https://${host}`, undefined, RefusedError, `enter ${fingerprint} as its fingerprint`],
    [`https://${host}`, `sha256:${"0".repeat(64)}`, RefusedError, "another machine may answer in its place"],
    [`https://${host}`, "12:34", RegistryError, "write sha256: and 64 hex digits"],
    [`http://${host}`, fingerprint, RegistryError, "a fingerprint is of a certificate; write https://HOST:PORT"],
    ["https://127.0.0.1:1", fingerprint, RegistryError, "it does not answer over https"],
  ];
  for (const [address, entered, Kind, message] of rows) {
    await assertRejects(() => site.add(address, entered, false), Kind, message);
  }
  assertEquals(paths, []);
  for (const address of [`https://${host}`, host]) {
    for (const entered of [fingerprint, colons]) await site.add(address, entered, false);
  }
  const { nodes } = await site.nodes.list() as { nodes: { url: string; state: string }[] };
  assertEquals(nodes.map(({ url, state }) => [url, state]), [[`https://${host}`, "ready"]]);
});

Deno.test("a registry with trusted keys sends only bundles that they have signed", async () => {
  const key = await parsePrivateKey(createKeyPair().privateKey, { what: "the key" });
  const policy = new TrustPolicy([{ name: "desk", keys: [key.public], threshold: 1 }]);
  await using site = await createFixture(() => Promise.resolve({ policy }));
  let plans = 0;
  await using agent = startAgent(async (request) => {
    if (request.method === "GET") return answerState(request);
    plans++;
    await request.body?.cancel();
    return Response.json({ name: "line4", version: "1.0.0", verdict: "install", missing: [] });
  });
  await site.add(agent.url);
  const pack = async (sign?: (document: Uint8Array) => string) => {
    const store = new MemoryStore();
    const { tgzDigest } = await site.outbox.add(
      "line4@1.0.0.tgz",
      (output) => packBundle(parseKubePkg(makeKubePkg({})), store, { output, hashOutput: true, sign }),
    );
    return tgzDigest!;
  };
  const options = { force: false, pruneData: false };
  const unsigned = await pack();
  await assertRejects(() => site.nodes.plan(agent.url, unsigned, options), UntrustedError, "it is not signed");
  assertEquals(plans, 0);
  await site.nodes.plan(agent.url, await pack(createSigner([key])), options);
  assertEquals(plans, 1);
});
