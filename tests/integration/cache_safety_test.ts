import { computeDigest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { assert, assertEquals, assertLess, assertRejects, assertStringIncludes } from "../support/assert.ts";
import { CacheFixture, PATH, receive, until } from "../support/cache_fixture.ts";
import { makeBytes } from "../support/content.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { type Fault, startFaultUpstream } from "../support/fault_upstream.ts";
import { buildImage } from "../support/images.ts";
import { mountSmall } from "../support/mount.ts";
import { inNetwork, runBeside } from "../support/network.ts";
import { peerTest } from "../support/peers.ts";
import { writeImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

const MiB = 1024 * 1024;
const REPO = `registry.test/${PATH}`;
const large = makeBytes(4 * MiB + 5, 7);
const small = makeBytes(700, 8);

Deno.test("[34] a blob that cannot be read causes a 500 for that blob only", async () => {
  await using fixture = await CacheFixture.start({ flags: ["--offline"] });
  const blobs = await Promise.all([1, 2, 3].map(async (seed) => {
    const bytes = makeBytes(4000, seed);
    const digest = computeDigest(bytes);
    await Deno.mkdir(fixture.blobFile(digest).replace(/\/data$/, ""), { recursive: true });
    await Deno.writeFile(fixture.blobFile(digest), bytes);
    await new DiskStore(fixture.data).linkBlob(REPO, digest);
    return { digest, bytes };
  }));
  const [link, folder, sound] = blobs as [typeof blobs[0], typeof blobs[0], typeof blobs[0]];
  await Deno.remove(fixture.blobFile(link.digest));
  await Deno.symlink(`${fixture.folder.path}/crpe.yaml`, fixture.blobFile(link.digest));
  await Deno.remove(fixture.blobFile(folder.digest));
  await Deno.mkdir(fixture.blobFile(folder.digest));
  for (const method of ["GET", "HEAD"]) {
    assertEquals((await fixture.get(`blobs/${sound.digest}`, { method })).status, 200);
    for (const [what, { digest }] of [["a symbolic link", link], ["a folder", folder]] as const) {
      const { status, bytes } = await fixture.get(`blobs/${digest}`, { method });
      assertEquals(status, 500, `${what} in the place of a blob, ${method}`);
      if (method === "GET") assertStringIncludes(new TextDecoder().decode(bytes), "INTERNAL");
    }
  }
  assertEquals((await fixture.get(`blobs/${sound.digest}`)).bytes, sound.bytes);
  await until("the log mentions it", () => fixture.log.includes(link.digest) && fixture.log.includes("error"));
});

peerTest("[31] a pull to a full disk gives the client verified bytes, caches nothing, and frees the space", [
  "root",
  "mount",
], async () => {
  await using disk = await mountSmall(6 * MiB);
  await using fixture = await CacheFixture.start({ data: `${disk.path}/data` });
  const { upstream } = fixture;
  const big = makeBytes(10 * MiB, 5);
  const { digest } = upstream.addBlob(PATH, big);
  const fitting = upstream.addImage(PATH, "1.0", [makeBytes(MiB, 6)]);
  const used = async () => {
    const sizes = await Promise.all((await listFiles(disk.path)).map(async (path) => (await Deno.lstat(path)).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  };
  const before = await used();
  for (const clients of [1, 2]) {
    const answers = await Promise.all(Array.from({ length: clients }, () => fixture.get(`blobs/${digest}`)));
    for (const { status, isComplete, bytes } of answers) {
      assertEquals([status, isComplete, computeDigest(bytes)], [200, true, digest], `${clients} at a time`);
    }
    await until("the space is freed", async () => (await fixture.listTemporary()).length === 0);
    assert(!await fixture.holds(digest));
    assertLess(await used() - before, 64 * 1024);
  }
  await fixture.pull("1.0");
  for (const { digest } of fitting.layers) await until("the layer is stored", () => fixture.isLinked(digest));
});

peerTest("[31] [10] wrong bytes are not served when the disk is full", ["root", "mount"], async () => {
  await using disk = await mountSmall(6 * MiB);
  await using fixture = await CacheFixture.start({ data: `${disk.path}/data` });
  const big = makeBytes(10 * MiB, 5);
  const { digest } = fixture.upstream.addBlob(PATH, big);
  fixture.upstream.fail({ kind: "blob", wrongBytes: true });
  const { status, isComplete, bytes } = await fixture.get(`blobs/${digest}`);
  assert(!isComplete || status >= 500, `a complete ${status} of ${bytes.length} bytes`);
  await until("the space is freed", async () => (await fixture.listTemporary()).length === 0);
});

async function listFiles(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) found.push(...await listFiles(`${folder}/${name}`));
    else found.push(`${folder}/${name}`);
  }
  return found;
}

/** Lists paths for every way in which a request can name a host. */
function requestsFor(host: string): string[] {
  const digest = computeDigest("missing content");
  return ["manifests/1", `manifests/${digest}`, `blobs/${digest}`, "tags/list"].flatMap((resource) => [
    `/v2/team/app/${resource}?ns=${encodeURIComponent(host)}`,
    `/v2/${host}/team/app/${resource}`,
    `/mirrors/${host}/v2/team/app/${resource}`,
  ]);
}

for (const flags of [[], ["--upstream=*"]]) {
  const setting = flags.length === 0 ? "with one upstream" : "with any public upstream";
  Deno.test(`[59] a request that names a host of this machine gets 404 and causes no connection, ${setting}`, async () => {
    await using fixture = await CacheFixture.start({ flags });
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    let connections = 0;
    const counting = (async () => {
      for await (const connection of listener) {
        connections++;
        connection.close();
      }
    })();
    const { port } = listener.addr;
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::ffff:127.0.0.1]:${port}`, `2130706433:${port}`]) {
      for (const path of requestsFor(host)) {
        for (const method of ["GET", "HEAD"]) {
          const { status } = await receive(await fetch(`${fixture.crpe.url}${path}`, { method }));
          // A host that is syntactically invalid gets 400.
          assert(status === 404 || status === 400, `${method} ${path}: ${status}`);
        }
      }
    }
    const plain = await fetch(`${fixture.crpe.url}/v2/team/app/manifests/1?ns=127.0.0.1:${port}`);
    assertEquals(plain.status, 404);
    assertEquals((await plain.json()).errors[0].code, "MANIFEST_UNKNOWN");
    listener.close();
    await counting;
    assertEquals(connections, 0);
    assertEquals(fixture.upstream.requests, []);
  });

  peerTest(`[59] ?ns=169.254.169.254 gets 404 and causes not a single packet, ${setting}`, [
    "root",
    "unshare",
    "ip",
    "nsenter",
    "curl",
  ], async () => {
    await using folder = await TestFolder.create();
    const commands = [
      "ip link set lo up",
      "ip address add 169.254.169.254/32 dev lo",
      "ip address add 10.1.2.3/32 dev lo",
    ];
    await using crpe = await startCrpe(
      ["registry", "--addr=127.0.0.1:0", `--data=${folder.path}/data`, "--upstream=registry.test", ...flags],
      { env: { HOME: folder.path }, within: inNetwork(...commands) },
    );
    const urls = ["169.254.169.254", "169.254.169.254:80", "10.1.2.3", "10.1.2.3:6443"].flatMap(requestsFor)
      .map((path) => crpe.url + path);
    const before = await countPackets(crpe.pid);
    const statuses = await runBeside(crpe.pid, [
      "curl",
      "-sS",
      "--globoff",
      ...urls.flatMap((url) => ["-o", "/dev/null", url]),
      "-w",
      "%{http_code}\\n",
    ]);
    assertEquals(new Set(statuses.trim().split("\n")), new Set(["404"]));
    const after = await countPackets(crpe.pid);
    // The only connection is the one that curl itself keeps open.
    assertEquals(after.connections - before.connections, 1);
    assertEquals(after.datagrams - before.datagrams, 0);
  });
}

/** Reads the counters of a network namespace: connections opened and datagrams sent since it exists. */
async function countPackets(pid: number): Promise<{ connections: number; datagrams: number }> {
  const text = await Deno.readTextFile(`/proc/${pid}/net/snmp`);
  const read = (protocol: string, column: string) => {
    const [names = [], values = []] = text.split("\n").filter((line) => line.startsWith(`${protocol}: `))
      .map((line) => line.split(" "));
    return Number(values[names.indexOf(column)]);
  };
  return { connections: read("Tcp", "ActiveOpens"), datagrams: read("Udp", "OutDatagrams") };
}

const SECRETS = {
  password: "seeded-password-1c9f",
  identity: "seeded-client-login-77ab",
  signature: "seeded-signature-5e21",
  credential: "seeded-access-key-90d4",
};
for (const flags of [["--debug"], []]) {
  for (const auth of ["bearer", "basic"] as const) {
    Deno.test(`[61] the log contains no secret, with ${auth} authentication ${flags.join()}`, async () => {
      const login = { username: "engineer", password: SECRETS.password };
      await using storage = startFaultUpstream();
      await using fixture = await CacheFixture.start({
        flags,
        upstream: { auth: { type: auth, ...login } },
        config: `hosts: {registry.test: {url: UPSTREAM, username: engineer, password: ${SECRETS.password}}}`,
      });
      const { upstream } = fixture;
      const { config, layers: [layer] } = upstream.addImage(PATH, "1.0", [large]);
      upstream.addImage(PATH, "2.0", [small]);
      storage.addBlob(PATH, large);
      const signed = `?X-Amz-Credential=${SECRETS.credential}&X-Amz-Signature=${SECRETS.signature}`;
      upstream.fail({ kind: "blob", path: layer!.digest, redirectTo: `${storage.url}{path}${signed}` });
      const headers = { authorization: `Bearer ${SECRETS.identity}` };
      // First everything succeeds, apart from one cut; then each kind of request fails in turn.
      storage.fail({ kind: "blob", cutAfter: MiB, times: 1 });
      assertEquals((await fixture.get("manifests/1.0", { headers })).status, 200);
      assertEquals(computeDigest((await fixture.get(`blobs/${layer!.digest}`, { headers })).bytes), layer!.digest);
      upstream.fail({ kind: "blob", redirectTo: `${storage.url}{path}${signed}` });
      const failing: Fault[] = [{ status: 403 }, { status: 400, body: `no ${signed}` }, {
        redirectTo: `ftp://x/${signed}`,
      }];
      for (const fault of failing) {
        storage.heal();
        storage.fail(fault);
        const { status } = await fixture.get(`blobs/${config.digest}`, { headers });
        assert(status >= 400, `${status}`);
      }
      await storage[Symbol.asyncDispose]();
      assert((await fixture.get(`blobs/${config.digest}`, { headers })).status >= 500);
      upstream.heal();
      upstream.fail({ kind: "manifest", status: 401 });
      assert((await fixture.get("manifests/2.0", { headers })).status >= 400);
      const tokens = upstream.requests.map(({ headers }) => headers.get("authorization")?.split(" ")[1])
        .filter((sent) => sent !== undefined);
      assert(tokens.length > 0);
      fixture.crpe.kill("SIGTERM");
      const { stdout, stderr } = await fixture.crpe.finished;
      assertStringIncludes(stderr, config.digest);
      for (const secret of [...Object.values(SECRETS), ...tokens, btoa(`engineer:${SECRETS.password}`), "X-Amz"]) {
        assert(!(stdout + stderr).includes(secret), `${secret} is in the log: ${stderr}`);
      }
    });
  }
}

Deno.test("[109] a registry whose data folder is moved away says so, makes no other one, and continues when it is back", async () => {
  await using fixture = await CacheFixture.start();
  const { data, upstream } = fixture;
  const { digest } = upstream.addBlob(PATH, large);
  upstream.addImage(PATH, "1", [makeBytes(1000, 3)]);
  await Deno.rename(data, `${data}.aside`);
  const health = async () => (await fetch(`${fixture.crpe.url}/healthz`)).status;
  const answers = [(await fixture.get("manifests/1")).status, (await fixture.get(`blobs/${digest}`)).status];
  assertEquals([answers, await health()], [[500, 500], 503], fixture.crpe.log());
  await assertRejects(() => Deno.stat(data), Deno.errors.NotFound);
  const line = `manifests/1: Cannot use ${data}: it was moved, removed or unmounted`;
  await until("the log says so", () => fixture.crpe.log().includes(line));
  await Deno.rename(`${data}.aside`, data);
  await fixture.pull("1");
  assertEquals(await health(), 200);
});

for (const place of ["nothing", "an empty folder"] as const) {
  Deno.test(`[109] what is in a data folder is not answered as missing when ${place} is in its place, without an upstream either`, async () => {
    await using folder = await TestFolder.create();
    const data = `${folder.path}/data`;
    const image = buildImage();
    const { root: { digest }, blobs } = image;
    await writeImage(new DiskStore(data), "registry.test/app:1", image);
    await using crpe = await startCrpe(["agent", "--addr=127.0.0.1:0", `--data=${data}`, "--offline"], {});
    const repository = "/v2/registry.test/app";
    const paths = [
      `${repository}/manifests/1`,
      `${repository}/manifests/${digest}`,
      `${repository}/blobs/${[...blobs.keys()][0]}`,
      `${repository}/tags/list`,
      `${repository}/referrers/${digest}`,
      "/v2/_catalog",
      "/kubepkgs",
      "/inventory",
    ];
    const ask = () =>
      Promise.all(paths.flatMap((path) =>
        ["GET", "HEAD"].map(async (method) => {
          const response = await fetch(`${crpe.url}${path}`, { method });
          await response.body?.cancel();
          return response.status;
        })
      ));
    const all = (status: number) => Array(2 * paths.length).fill(status);
    assertEquals(await ask(), all(200));
    await Deno.rename(data, `${data}.aside`);
    if (place === "an empty folder") await Deno.mkdir(data);
    assertEquals(await ask(), all(500));
    if (place === "an empty folder") await Deno.remove(data);
    await Deno.rename(`${data}.aside`, data);
    assertEquals(await ask(), all(200));
  });
}
