import { isComplete } from "../../lib/cache/completeness.ts";
import { PackageRecords } from "../../lib/install/package_records.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { createAgentFixture, IMAGE_REPO } from "../support/agent_fixture.ts";
import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { makeCertificate } from "../support/certificate.ts";
import { startCountingProxy } from "../support/counting_proxy.ts";
import { idOf } from "../support/kubepkg.ts";
import { peerTest } from "../support/peers.ts";
import { listPending } from "../support/list_pending.ts";

const LAYER_BYTES = 24 * 1024 * 1024;
// The bytes in the buffers of two connections and a request: sent, but not received.
const IN_FLIGHT_BYTES = 8 * 1024 * 1024;

type AgentFixture = Awaited<ReturnType<typeof createAgentFixture>>;

async function checkInstalled({ folder }: AgentFixture, version: string): Promise<void> {
  const data = `${folder.path}/site`;
  const [store, records] = [new DiskStore(data), new PackageRecords(data)];
  assertEquals((await records.read(idOf("line4")))?.spec.version, version);
  const root = await store.resolve(IMAGE_REPO, version);
  assert(root !== undefined && await isComplete(store, IMAGE_REPO, root));
  assertStringIncludes(await Deno.readTextFile(`${folder.path}/manifests/line4.yaml`), `version: "${version}"`);
  assertEquals(await listPending(records.pending), []);
}

async function checkNothingVisible({ folder }: AgentFixture): Promise<void> {
  const data = `${folder.path}/site`;
  assertEquals(await new PackageRecords(data).list(), []);
  assertEquals((await new DiskStore(data).listRepositories()).repositories, []);
  assertEquals(await folder.listFiles("manifests"), []);
}

for (const victim of ["push", "agent"] as const) {
  Deno.test(`[26] push resumes after the ${victim} was killed, and sends only the bytes in flight again`, async () => {
    await using fixture = await createAgentFixture();
    const { file } = await fixture.pack("1.0.0", LAYER_BYTES);
    let sent = 0;
    {
      await using agent = await fixture.startAgent();
      await using proxy = startCountingProxy(agent.url);
      await using push = fixture.push(file, proxy.url, "--json");
      await proxy.reached(LAYER_BYTES / 2);
      (victim === "push" ? push : agent).kill("SIGKILL");
      if (victim === "agent") push.kill("SIGKILL");
      await (victim === "push" ? push : agent).finished;
      sent += proxy.bytes;
      await checkNothingVisible(fixture);
    }
    await using agent = await fixture.startAgent();
    await using proxy = startCountingProxy(agent.url);
    const { code, stdout, stderr } = await fixture.push(file, proxy.url, "--json").finished;
    assertEquals(code, 0, stderr);
    const [result] = JSON.parse(stdout);
    assertEquals(result.verdict, "install");
    assertEquals(result.imported, true);
    assertLess(result.sent.bytes, LAYER_BYTES / 2 + IN_FLIGHT_BYTES);
    sent += proxy.bytes;
    assertLess(sent, LAYER_BYTES + IN_FLIGHT_BYTES);
    await checkInstalled(fixture, "1.0.0");
  });
}

Deno.test("push resumes by itself when the connection breaks", async () => {
  await using fixture = await createAgentFixture();
  const { file } = await fixture.pack("1.0.0", LAYER_BYTES);
  await using agent = await fixture.startAgent();
  let proxy = startCountingProxy(agent.url);
  const { port } = new URL(proxy.url);
  const push = fixture.push(file, proxy.url, "--json");
  await proxy.reached(LAYER_BYTES / 2);
  await proxy[Symbol.asyncDispose]();
  const before = proxy.bytes;
  proxy = startCountingProxy(agent.url, { port: Number(port) });
  await using _proxy = proxy;
  const { code, stderr } = await push.finished;
  assertEquals(code, 0, stderr);
  assertMatch(stderr, /retrying in \d+ s/);
  assertLess(before + proxy.bytes, LAYER_BYTES + IN_FLIGHT_BYTES);
  await checkInstalled(fixture, "1.0.0");
});

Deno.test("push sends everything with --limit-rate", async () => {
  await using fixture = await createAgentFixture();
  const { file } = await fixture.pack("1.0.0", 100_000);
  await using agent = await fixture.startAgent();
  const { code, stderr } = await fixture.push(file, agent.url, "--limit-rate=200KiB/s").finished;
  assertEquals(code, 0, stderr);
  await checkInstalled(fixture, "1.0.0");
});

Deno.test("concurrent pushes lead to one install, and an upgrade sends only new blobs", async () => {
  await using fixture = await createAgentFixture();
  const { file, image } = await fixture.pack("1.0.0", 4_000_000);
  await using agent = await fixture.startAgent();
  const results = await Promise.all([1, 2, 3].map(() => fixture.push(file, agent.url, "--json").finished));
  assertEquals(results.map(({ code }) => code), [0, 0, 0], results.map(({ stderr }) => stderr).join());
  const documents = results.map(({ stdout }) => JSON.parse(stdout)[0]);
  assertEquals(documents.filter(({ imported }) => imported).length, 1);
  assertEquals(documents.reduce((sum, { sent }) => sum + sent.blobs, 0), 4);
  await checkInstalled(fixture, "1.0.0");

  await Deno.writeTextFile(`${fixture.folder.path}/have.txt`, [...image.largeBlobs.keys()].join("\n"));
  const newer = await fixture.pack("1.0.1", 4_000_000, "--have=have.txt");
  const dry = await fixture.push(newer.file, agent.url, "--dry-run").finished;
  assertMatch(
    dry.stdout,
    /^would upgrade line4@1\.0\.1 from 1\.0\.0 at http.*\n {2}~ ConfigMap\/default\/web\n {2}3 blobs to send/,
  );
  await checkInstalled(fixture, "1.0.0");
  const upgrade = await fixture.push(newer.file, agent.url, "--quiet").finished;
  assertEquals({ code: upgrade.code, stderr: upgrade.stderr }, { code: 0, stderr: "" });
  assertMatch(upgrade.stdout, /^upgraded line4@1\.0\.1 from 1\.0\.0 at .*\n.*\n {2}3 blobs sent \(\d.* KiB\)\n/);
  await checkInstalled(fixture, "1.0.1");

  const refused = await fixture.push(file, agent.url).finished;
  assertEquals({ code: refused.code, stdout: refused.stdout }, { code: 3, stdout: "" });
  assertStringIncludes(
    refused.stderr,
    "Cannot import line4@1.0.0: 1.0.1 is installed, which is higher; --force allows it",
  );
  assertEquals((await fixture.push(file, agent.url, "--force").finished).code, 0);
  await checkInstalled(fixture, "1.0.0");
});

Deno.test("push reports what is wrong, with its exit status", async () => {
  await using fixture = await createAgentFixture();
  const { file } = await fixture.pack("1.0.0", 100_000);
  await using agent = await fixture.startAgent();
  const { folder } = fixture;
  const otherToken = await folder.write("other", "other-token\n");
  await Deno.chmod(otherToken, 0o600);
  const cases: [args: string[], code: number, message: string][] = [
    [[file], 2, "name the agent with --to"],
    [["-", `--to=${agent.url}`], 2, "Cannot push standard input"],
    [[file, `--to=${agent.url}`], 2, "--token-file FILE"],
    [[file, "--to=ftp://x"], 2, 'Cannot use --to "ftp://x"'],
    [
      [file, `--to=${agent.url}`, `--token-file=${fixture.tokenFile}`, "--limit-rate=1"],
      2,
      'Cannot use --limit-rate "1"',
    ],
    [[file, "--to=http://me:secret@x"], 2, 'Cannot use --to "http://…@x"'],
    [[file, `--to=${agent.url}`, `--token-file=${await folder.write("empty", "\n")}`], 1, "empty: it is empty"],
    [
      [file, `--to=${agent.url}`, `--token-file=${otherToken}`],
      1,
      "the token is not the one of this server",
    ],
    [
      [file, `--to=${agent.url}`, `--token-file=${await folder.write("open", "other-token\n")}`],
      1,
      "every user may read it",
    ],
    [[file, "--to=http://127.0.0.1:1", `--token-file=${fixture.tokenFile}`], 1, "the connection was refused"],
    [[file, `--to=${agent.url}/v2`, `--token-file=${fixture.tokenFile}`], 1, "is that the address of a crpe agent?"],
    [[await folder.write("no.tgz", "{}"), `--to=${agent.url}`, `--token-file=${fixture.tokenFile}`], 4, "not a bundle"],
  ];
  for (const [args, code, message] of cases) {
    const result = await fixture.crpe("push", ...args);
    assertEquals({ code: result.code, stdout: result.stdout }, { code: code, stdout: "" }, result.stderr);
    assertStringIncludes(result.stderr, message);
    assert(!result.stderr.includes("secret") && !result.stderr.includes("other\n"), result.stderr);
  }
});

peerTest("push trusts an https agent only with its authority in --ca-file", ["openssl"], async () => {
  await using fixture = await createAgentFixture();
  const { file } = await fixture.pack("1.0.0", 1_000_000);
  await using agent = await fixture.startAgent();
  const certificate = await makeCertificate();
  const caFile = await fixture.folder.write("ca.pem", certificate.cert);
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {}, ...certificate },
    async (request) => {
      const { pathname, search } = new URL(request.url);
      const response = await fetch(`${agent.url}${pathname}${search}`, {
        method: request.method,
        headers: request.headers,
        ...(request.method === "GET" ? {} : { body: await request.bytes() }),
      });
      return new Response(await response.bytes(), { status: response.status });
    },
  );
  const url = `https://127.0.0.1:${server.addr.port}`;
  const distrusted = await fixture.push(file, url).finished;
  assertEquals(distrusted.code, 1);
  // Deno up to 2.7 reports all TLS failures with the same message. The advice for an upstream would be `HOST=FILE`.
  assertMatch(distrusted.stderr, /authority(?:\);|,) name its CA file with --ca-file(?:\n|; )/);
  const { code, stderr } = await fixture.push(file, url, `--ca-file=${caFile}`).finished;
  assertEquals(code, 0, stderr);
  await checkInstalled(fixture, "1.0.0");
});

Deno.test("push accepts the parts of a package in any order, and the last one installs", async () => {
  await using fixture = await createAgentFixture();
  await fixture.pack("1.0.0", 5_000_000, "--split=2MiB");
  await using agent = await fixture.startAgent();
  const parts = (await fixture.folder.listFiles()).filter((name) => /part\d+of\d+\.tgz$/.test(name)).sort();
  assertEquals(parts.length, 3);
  const pushPart = async (index: number, ...flags: string[]) => {
    const { code, stdout, stderr } = await fixture.push(parts[index]!, agent.url, ...flags).finished;
    assertEquals(code, 0, stderr);
    return stdout;
  };
  assertEquals(await pushPart(2), `part 3 of 3 of line4@1.0.0 is at ${agent.url}; missing: 1, 2\n`);
  assertEquals(await pushPart(0), `part 1 of 3 of line4@1.0.0 is at ${agent.url}; missing: 2\n`);
  assertEquals(await new PackageRecords(`${fixture.folder.path}/site`).list(), []);
  const [last] = JSON.parse(await pushPart(1, "--json"));
  assertEquals(last.imported, true);
  assertEquals(last.part.missing, []);
  await checkInstalled(fixture, "1.0.0");
  assertMatch(agent.log(), /import of line4@1\.0\.0 \(install\): part, /);
});
