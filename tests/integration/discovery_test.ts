import { DatagramSocket } from "../../lib/discovery/datagram_socket.ts";
import { Discovery } from "../../lib/discovery/discovery.ts";
import { openMulticastSocket } from "../../lib/discovery/multicast_socket.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeCertificate } from "../support/certificate.ts";
import { type CrpeProcess, runCrpe, startCrpe } from "../support/crpe_process.ts";
import { type FaultUpstream, startFaultUpstream } from "../support/fault_upstream.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

// Everything is on the loopback interface. Other tests may run there at the same time: their crpes are found, too.
const DISCOVER = ["--discover", "--discover-on=127.0.0.1"];
const LOOPBACK = { name: "lo", address: "127.0.0.1", netmask: "255.0.0.0" };
const NAME = "registry.test/team/app";

function start(folder: TestFolder, name: string, args: readonly string[]): Promise<CrpeProcess> {
  const flags = ["registry", "--addr=127.0.0.1:0", `--data=${folder.path}/${name}`, ...args];
  return startCrpe(flags, { env: { HOME: folder.path } });
}

/** Random bytes, so that no other test has the same content. */
function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
  return bytes;
}

const hostOf = ({ url }: { readonly url: string }) => new URL(url).host;

/** Waits until a server has found others, or has forgotten them. */
async function waitForPeers(crpe: CrpeProcess, others: readonly { readonly url: string }[], areFound = true) {
  for (let tries = 0;; tries++) {
    const metrics = await (await fetch(`${crpe.url}/metrics`)).text();
    const found = others.map((other) => metrics.includes(`crpe_found_peer{host="${hostOf(other)}"} 1`));
    if (found.every((is) => is === areFound)) return;
    assert(tries < 300, `${areFound ? "not found" : "still there"}; the log is:\n${crpe.log()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Announces a server of the test as a crpe, and answers those that ask. */
async function announce({ url }: FaultUpstream): Promise<AsyncDisposable> {
  const discovery = await Discovery.start({
    own: LOOPBACK,
    open: openMulticastSocket,
    after: (milliseconds, action) => {
      const timer = setTimeout(action, milliseconds);
      return () => clearTimeout(timer);
    },
    now: () => performance.now(),
    random: () => Math.random(),
  });
  discovery.announce(Number(new URL(url).port));
  return { [Symbol.asyncDispose]: () => discovery.stop() };
}

async function readBytes(url: string): Promise<Uint8Array> {
  const response = await fetch(url);
  const bytes = await response.bytes();
  assertEquals(response.status, 200, new TextDecoder().decode(bytes.subarray(0, 500)));
  return bytes;
}

peerTest("[108] crpes find each other, and what one has comes from it, by digest", ["multicast"], async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  const [small, large] = [randomBytes(5000), randomBytes(3_000_000)];
  const { manifest, manifestBytes, config, layers } = upstream.addImage("team/app", "1", [small, large]);
  const from = `--upstream=registry.test=${upstream.url}`;
  await using first = await start(folder, "first", [from, ...DISCOVER]);
  const contents = [
    [`manifests/${manifest.digest}`, manifestBytes.length],
    ...[config, ...layers].map(({ digest, size }) => [`blobs/${digest}`, size] as const),
  ] as const;
  const pull = async ({ url }: CrpeProcess) => {
    for (const [path, size] of contents) assertEquals((await readBytes(`${url}/v2/${NAME}/${path}`)).length, size);
  };
  await readBytes(`${first.url}/v2/${NAME}/manifests/1`);
  await pull(first);
  const before = upstream.requests.length;

  await using second = await start(folder, "second", [from, ...DISCOVER]);
  await waitForPeers(second, [first]);
  await waitForPeers(first, [second]);
  await pull(second);
  assertEquals(upstream.requests.length, before, "everything came from the first one");

  // One without an upstream, which asks the other two. A tag is not believed, and the reason says so.
  await using third = await start(folder, "third", ["--offline", ...DISCOVER]);
  await waitForPeers(third, [first, second]);
  const tag = await fetch(`${third.url}/v2/${NAME}/manifests/1`);
  assertEquals(tag.status, 404);
  assertStringIncludes(await tag.text(), "no peer has it");
  await pull(third);
  assertEquals(upstream.requests.length, before);
  const status = await runCrpe(["status", third.url], { env: { HOME: folder.path } });
  const line = status.stdout.split("\n").find((each) => each.startsWith("peers")) ?? "";
  for (const each of [first, second]) assertStringIncludes(line, hostOf(each));
  assert(!line.includes(hostOf(third)), "it does not find itself");
  const { peers } = await (await fetch(`${third.url}/api/status`)).json();
  assertEquals(peers.toSorted(), [first, second].map(hostOf).sort());

  // A tag of the second one is the upstream's.
  await readBytes(`${second.url}/v2/${NAME}/manifests/1`);
  assert(upstream.requests.length > before);

  // One leaves, and the others forget it.
  third.kill("SIGTERM");
  assertEquals((await third.finished).code, 0);
  for (const each of [first, second]) await waitForPeers(each, [third], false);
  // Written when the server ends, at the latest.
  first.kill("SIGTERM");
  assertStringIncludes((await first.finished).stderr, `crpe ${hostOf(third)} has left`);
});

peerTest("[108] a peer that lies costs nothing but time, and is not used again", ["multicast"], async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  await using liar = startFaultUpstream();
  const images = [upstream, liar].map((it) => it.addImage("team/app", "1", [randomBytes(9)]));
  const shared = [randomBytes(60_000), randomBytes(60_000)];
  const [first, second] = [upstream, liar].map((it) => shared.map((layer) => it.addBlob("team/app", layer)))[0]!;
  liar.fail({ kind: "blob", method: "GET", wrongBytes: true });
  await using crpe = await start(folder, "data", [`--upstream=registry.test=${upstream.url}`, ...DISCOVER]);
  await using _announced = await announce(liar);
  await waitForPeers(crpe, [liar]);

  // Its tag is another image, and is not asked for.
  const tagged = await fetch(`${crpe.url}/v2/${NAME}/manifests/1`, { method: "HEAD" });
  assertEquals(tagged.headers.get("docker-content-digest"), images[0]!.manifest.digest);
  assertEquals(liar.requests.filter(({ path }) => !path.includes("sha256:")), []);

  // The client of a small blob does not notice.
  assertEquals(await readBytes(`${crpe.url}/v2/${NAME}/blobs/${first!.digest}`), shared[0]);
  assertEquals([liar.count("blob", "GET"), upstream.count("blob", "GET")], [1, 1]);
  await waitForPeers(crpe, [liar], false);
  assertEquals(await readBytes(`${crpe.url}/v2/${NAME}/blobs/${second!.digest}`), shared[1]);
  assertEquals([liar.count("blob", "GET"), upstream.count("blob", "GET")], [1, 2]);
  crpe.kill("SIGTERM");
  assertStringIncludes((await crpe.finished).stderr, `crpe ${liar.host} sent content that is not what it should be`);
});

peerTest("[108] a peer gets no login, and leads to no other server", ["multicast"], async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  await using other = startFaultUpstream();
  const login = { username: "engineer", password: "s3cret-word" };
  await using peer = startFaultUpstream({ auth: { type: "basic", ...login } });
  await using leading = startFaultUpstream();
  const layer = randomBytes(5000);
  const [added] = [upstream, other, peer, leading].map((it) => it.addImage("team/app", "1", [layer]));
  leading.fail({ redirectTo: `${other.url}{path}` });
  const password = await folder.write("password", login.password);
  const hosts = [peer.host, leading.host].map((
    host,
  ) => [host, { username: login.username, "password-file": password }]);
  const config = await folder.write("crpe.json", JSON.stringify({ hosts: Object.fromEntries(hosts) }));
  const flags = [`--upstream=registry.test=${upstream.url}`, `--config=${config}`];
  await using crpe = await start(folder, "data", [...flags, ...DISCOVER]);
  await using _announced = await announce(peer);
  await using _leading = await announce(leading);
  await waitForPeers(crpe, [peer, leading]);
  assertEquals(await readBytes(`${crpe.url}/v2/${NAME}/blobs/${added!.layers[0]!.digest}`), layer);
  await readBytes(`${crpe.url}/v2/${NAME}/manifests/${added!.manifest.digest}`);
  assertEquals([upstream.count("blob", "GET"), upstream.count("manifest", "GET")], [1, 1]);
  assert(peer.requests.length > 0 && leading.requests.length > 0);
  const sent = [...peer.requests, ...leading.requests];
  assertEquals(sent.filter(({ headers }) => headers.has("authorization")), []);
  assertEquals(new Set(sent.map(({ headers }) => headers.get("cache-control"))), new Set(["only-if-cached"]));
  assertEquals(other.requests, []);
});

peerTest("[108] datagrams that are no announcement are counted, and change nothing", ["multicast"], async () => {
  await using folder = await TestFolder.create();
  await using first = await start(folder, "first", ["--offline", ...DISCOVER]);
  const socket = new DatagramSocket("127.0.0.1", () => false);
  const bound = Promise.withResolvers<void>();
  socket.bind(5353, "0.0.0.0", bound.resolve);
  await bound.promise;
  const send = (bytes: Uint8Array) => {
    const sent = Promise.withResolvers<void>();
    socket.send(bytes, 0, bytes.length, 5353, "224.0.0.251", () => sent.resolve());
    return sent.promise;
  };
  const label = new TextEncoder().encode("\x05_crpe\x04_tcp\x05local\x00");
  // A header, a name, and random bytes; a response without records; and one that is too large.
  for (let i = 0; i < 20; i++) {
    const header = new Uint8Array([0, 0, 0x84, 0, 0, 0, 0, 1 + i % 3, 0, 0, 0, 0]);
    await send(new Uint8Array([...header, ...label, ...randomBytes(100)]));
  }
  await send(new Uint8Array([0, 0, 0x84, 0, 0, 0, 255, 255, 0, 0, 0, 0, ...label]));
  await send(new Uint8Array([...label, ...randomBytes(1600)]));
  await new Promise<void>((resolve) => socket.close(resolve));
  await using second = await start(folder, "second", ["--offline", ...DISCOVER]);
  for (const [one, other] of [[first, second], [second, first]] as const) await waitForPeers(one, [other]);
  const metrics = await (await fetch(`${first.url}/metrics`)).text();
  const ignored = (reason: string) =>
    Number(new RegExp(`^crpe_discovery_ignored_total\\{reason="${reason}"\\} (\\d+)$`, "m").exec(metrics)?.[1] ?? 0);
  assert(ignored("malformed") >= 21, metrics);
  assert(ignored("size") >= 1, metrics);
});

peerTest("[108] a server that others cannot use is not announced", ["multicast", "openssl"], async () => {
  await using folder = await TestFolder.create();
  const { cert, key } = await makeCertificate();
  const tls = [`--tls-cert=${await folder.write("cert.pem", cert)}`, `--tls-key=${await folder.write("key.pem", key)}`];
  await using first = await start(folder, "first", ["--offline", ...DISCOVER]);
  await using secure = await start(folder, "secure", ["--offline", ...tls, ...DISCOVER]);
  await using elsewhere = await startCrpe(
    ["registry", "--addr=127.0.0.2:0", `--data=${folder.path}/elsewhere`, "--offline", ...DISCOVER],
    { env: { HOME: folder.path } },
  );
  await waitForPeers(elsewhere, [first]);
  assertStringIncludes(secure.log(), "is not announced to other crpes: they use plain http");
  assertStringIncludes(elsewhere.log(), "it listens on 127.0.0.2, and not on 127.0.0.1");
  await waitForPeers(first, [secure, elsewhere], false);
});

Deno.test("[108] an interface that does not exist is an error of the command line", async () => {
  await using folder = await TestFolder.create();
  const args = ["registry", "--addr=127.0.0.1:0", `--data=${folder.path}/data`, "--offline", "--discover"];
  const { code, stderr } = await runCrpe([...args, "--discover-on=none0"], { env: { HOME: folder.path } });
  assertEquals(code, 2);
  assertStringIncludes(stderr, "this machine has no such interface or address");
});
