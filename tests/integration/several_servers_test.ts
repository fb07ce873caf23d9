import { RELEASE_ANNOTATION, secretNameOf } from "../../lib/install/cluster/release_secret.ts";
import type { KubeObject, KubePkg } from "../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../lib/kubepkg/parse_kubepkg.ts";
import { RefusedError } from "../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../support/assert.ts";
import { ApiServer } from "../support/cluster/api_server.ts";
import { ClusterServer } from "../support/cluster/cluster_server.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { TestFolder } from "../support/test_folder.ts";

const SECRET = `Secret/crpe/${secretNameOf({ namespace: "default", name: "web" })}`;
const CLAIM: KubeObject = {
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name: "data", namespace: "default" },
  spec: {},
};

function release(version: string, objects: readonly KubeObject[] = []): KubePkg {
  const kubepkg = parseKubePkg(makeKubePkg({}, { name: "web", version, data: { version } }));
  const added = Object.fromEntries(objects.map((object) => [object.kind, object]));
  return { ...kubepkg, spec: { ...kubepkg.spec, manifests: { ...kubepkg.spec.manifests, ...added } } };
}

/** Two servers of one cluster; `advance` lets time pass. */
async function createCluster() {
  const folder = await TestFolder.create();
  const api = new ApiServer();
  api.put({ apiVersion: "v1", kind: "Namespace", metadata: { name: "crpe" } }, "test");
  let time = Date.UTC(2026, 0, 1);
  const options = { folder, now: () => new Date(time) };
  const start = (name: string) => new ClusterServer(name, api, options);
  return {
    api,
    start,
    a: start("a"),
    b: start("b"),
    advance: (milliseconds: number) => void (time += milliseconds),
    fail: () => void (api.fault = () => ({ code: 503, reason: "ServiceUnavailable", message: "etcd has no leader" })),
    recover: () => void (api.fault = () => undefined),
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

const actionsOf = (reports: Awaited<ReturnType<ClusterServer["sync"]>>) => {
  return reports.map(({ action, version, error }) => error === undefined ? `${action} ${version}` : String(error));
};

/** The version in the package's file; `undefined` when there is no file. */
async function versionIn(server: ClusterServer, name = "web.yaml"): Promise<string | undefined> {
  return /version: "?([^"\n]+)"?/.exec((await server.files())[name] ?? "")?.[1];
}

Deno.test("an upgrade on one server becomes the file of the other within one comparison, byte for byte", async () => {
  await using cluster = await createCluster();
  const { a, b } = cluster;
  await a.install(release("1.0.0", [CLAIM]));
  assertEquals(actionsOf(await b.sync()), ["write file 1.0.0"]);
  // The claim leaves the release, and stays in the file: on the other server too, or k3s would delete it there.
  await a.install(release("1.2.0"));
  assertEquals(actionsOf(await b.sync()), ["write file 1.2.0"]);
  assertEquals(await b.files(), await a.files());
  assertStringIncludes((await b.files())["web.yaml"]!, "PersistentVolumeClaim");
  assertEquals(actionsOf([...await a.sync(), ...await b.sync()]), []);
  const shared = cluster.api.get(SECRET) as { metadata: { labels: Record<string, string> }; type: string };
  assertEquals([shared.type, shared.metadata.labels["crpe.octohelm.tech/version"]], [
    "crpe.octohelm.tech/release",
    "1.2.0",
  ]);
  const index = cluster.api.get("ConfigMap/crpe/crpe-releases") as { data: Record<string, string> };
  assert(/^1\.2\.0 sha256:\S+ 2026-\S+ a$/.test(index.data["default.web"]!));
});

Deno.test("a server that was down during an upgrade does not bring the old release back", async () => {
  await using cluster = await createCluster();
  await cluster.a.install(release("1.0.0"));
  await cluster.b.sync();
  await cluster.a.install(release("1.2.0"));
  // b starts again, with the file of its last day.
  const b = cluster.start("b");
  assertEquals(await versionIn(b), "1.0.0");
  await b.sync();
  assertEquals(await versionIn(b), "1.2.0");
  assertEquals(await versionIn(cluster.a), "1.2.0");
});

Deno.test("an import on a server that missed an upgrade is refused unless it is higher, or forced", async () => {
  await using cluster = await createCluster();
  const { a, b } = cluster;
  await a.install(release("1.0.0"));
  await b.install(release("1.0.0"));
  await a.install(release("1.2.0", [CLAIM]));
  await assertRejects(() => b.install(release("1.1.0")), RefusedError, "the cluster has 1.2.0, installed on server a");
  assertEquals(await versionIn(b), "1.0.0");
  // What only the missed release had is data, and stays.
  await b.install(release("1.3.0"));
  assertStringIncludes((await b.files())["web.yaml"]!, "PersistentVolumeClaim");
  await a.sync();
  assertEquals(await a.files(), await b.files());
  await a.install(release("1.1.0"), { force: true });
  await b.sync();
  assertEquals(await versionIn(b), "1.1.0");
});

Deno.test("a removal on one server removes the file of the other without emptying it, also after a restart", async () => {
  await using cluster = await createCluster();
  const { a } = cluster;
  for (const server of [a, cluster.b]) await server.install(release("1.0.0"));
  await a.remove(release("1.0.0"));
  const b = cluster.start("b");
  assertEquals(actionsOf(await b.sync()), ["remove file 1.0.0"]);
  assertEquals([await a.files(), await b.files()], [{}, {}]);
  assertEquals(actionsOf([...await a.sync(), ...await b.sync()]), []);
  // The package can be installed again, also in a lower version.
  await b.install(release("0.9.0"));
  await a.sync();
  assertEquals([await versionIn(a), await versionIn(b)], ["0.9.0", "0.9.0"]);
});

Deno.test("a rollback on the server that installed the release is followed, and one elsewhere is refused", async () => {
  await using cluster = await createCluster();
  const { a, b } = cluster;
  for (const version of ["1.0.0", "1.1.0"]) await a.install(release(version));
  await b.sync();
  await assertRejects(() => b.install(release("1.0.0")), RefusedError, "1.1.0");
  await a.install(release("1.0.0"));
  await b.sync();
  assertEquals(await versionIn(b), "1.0.0");
});

Deno.test("of two releases that are handed over at once on two servers, the higher one is on both", async () => {
  for (const [first, second] of [["1.1.0", "1.2.0"], ["1.2.0", "1.1.0"]] as const) {
    await using cluster = await createCluster();
    const { a, b } = cluster;
    const results = await Promise.allSettled([a.install(release(first)), b.install(release(second))]);
    assert(results.some(({ status }) => status === "fulfilled"));
    for (const server of [a, b, a]) await server.sync();
    assertEquals([await versionIn(a), await versionIn(b)], ["1.2.0", "1.2.0"]);
    assertEquals(await a.files(), await b.files());
  }
});

Deno.test("a writer that was slower plans again with the release that was faster", async () => {
  await using cluster = await createCluster();
  const { api, a, b } = cluster;
  await a.install(release("1.0.0"));
  await b.sync();
  let isFirst = true;
  api.fault = (request) => {
    if (request.method !== "PUT" || !isFirst) return undefined;
    isFirst = false;
    // The Secret changes between reading and writing it.
    change(api, { version: "1.5.0", identity: `sha256:${"5".repeat(64)}`, generation: 7, content: undefined });
    return undefined;
  };
  await assertRejects(() => b.install(release("1.2.0")), RefusedError, "the cluster has 1.5.0");
  assertEquals(await versionIn(b), "1.0.0");
});

Deno.test("without the cluster both servers work as alone, and agree when it is back", async () => {
  await using cluster = await createCluster();
  const { a, b } = cluster;
  for (const server of [a, b]) await server.install(release("1.0.0"));
  cluster.fail();
  await a.install(release("1.1.0"));
  await b.install(release("1.2.0"));
  assertEquals([await versionIn(a), await versionIn(b)], ["1.1.0", "1.2.0"]);
  assert(a.unreachable.every((reason) => reason.includes("503: etcd has no leader")) && a.unreachable.length > 0);
  await assertRejects(() => a.sync(), Error, "etcd has no leader");
  // The other server would bring the package back.
  await assertRejects(() => b.remove(release("1.2.0")), RefusedError, "other servers of the cluster have it too");
  cluster.recover();
  cluster.advance(60_000);
  for (const server of [a, b, a]) await server.sync();
  assertEquals([await versionIn(a), await versionIn(b)], ["1.2.0", "1.2.0"]);
});

Deno.test("a release that is larger than a Secret is split, and its parts go with its successor", async () => {
  await using cluster = await createCluster();
  const { api, a, b } = cluster;
  const bytes = new Uint8Array(700 * 1024);
  for (let at = 0; at < bytes.length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  const large = ["x", "y"].map((name): KubeObject => {
    return { apiVersion: "v1", kind: `Noise${name}`, metadata: { name }, data: bytes.toHex() + name };
  });
  await a.install(release("1.0.0", large));
  const parts = () => api.list().filter((label) => label.startsWith("Secret/"));
  assertEquals(parts().length, 2);
  await b.sync();
  assertEquals(await b.files(), await a.files());
  await a.install(release("1.1.0"));
  assertEquals(parts(), [SECRET]);
});

Deno.test("a stale file is removed when the cluster has no content of the newer release, and its objects stay known", async () => {
  await using cluster = await createCluster();
  const { api, a, b } = cluster;
  await a.install(release("1.0.0", [CLAIM]));
  await b.sync();
  await a.install(release("1.2.0"));
  change(api, { content: undefined });
  assertEquals(actionsOf(await b.sync()), ["set aside 1.2.0"]);
  assertEquals([await b.files(), actionsOf(await b.sync())], [{}, []]);
  await a.install(release("1.3.0"));
  await b.sync();
  assertEquals(await b.files(), await a.files());
  assertStringIncludes((await b.files())["web.yaml"]!, "PersistentVolumeClaim");
});

Deno.test("a file that was changed by hand, and a file of others, are left alone and named", async () => {
  await using cluster = await createCluster();
  const { a, b } = cluster;
  await b.install(release("1.0.0"));
  await a.sync();
  await Deno.writeTextFile(b.pathOf("web.yaml"), "# changed\n");
  await a.install(release("1.2.0"));
  const [refused = ""] = actionsOf(await b.sync());
  assertStringIncludes(refused, "was changed by hand");
  assertEquals((await b.files())["web.yaml"], "# changed\n");
  await a.remove(release("1.2.0"));
  const [left = ""] = actionsOf(await b.sync());
  assertStringIncludes(left, "was changed by hand; remove it");
  const c = cluster.start("c");
  await Deno.writeTextFile(c.pathOf("web.yaml"), "# of another program\n");
  await a.install(release("2.0.0"));
  assertStringIncludes(actionsOf(await c.sync())[0] ?? "", "was not written by crpe");
});

Deno.test("a Secret that was damaged is named, and the other packages are compared all the same", async () => {
  await using cluster = await createCluster();
  const { api, a, b } = cluster;
  await a.install(release("1.0.0"));
  const other = parseKubePkg(makeKubePkg({}, { name: "other", version: "1.0.0" }));
  await a.install(other);
  change(api, { name: "../../x" });
  const reports = actionsOf(await b.sync());
  assertEquals(reports.length, 2);
  assertStringIncludes(reports[0]!, "delete the Secret");
  assertEquals(reports[1], "write file 1.0.0");
  assertEquals(Object.keys(await b.files()), ["other.yaml"]);
});

/** Changes what the Secret of the package says of its release. */
function change(api: ApiServer, facts: Record<string, unknown>): void {
  const secret = api.get(SECRET)!;
  const metadata = secret.metadata as { annotations: Record<string, string> };
  const annotation = JSON.stringify({ ...JSON.parse(metadata.annotations[RELEASE_ANNOTATION]!), ...facts });
  api.put({ ...secret, metadata: { ...metadata, annotations: { [RELEASE_ANNOTATION]: annotation } } }, "test");
}
