import { ClusterUnreachableError } from "../../../../lib/install/cluster/cluster_api.ts";
import { PodCluster } from "../../../../lib/install/cluster/pod_cluster.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";
import { makeCertificate } from "../../../support/certificate.ts";
import { ApiServer } from "../../../support/cluster/api_server.ts";
import { peerTest } from "../../../support/peers.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const secret = (name: string, resourceVersion?: string) => ({
  metadata: {
    name,
    labels: { app: "crpe" },
    annotations: {},
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  },
  type: "crpe.octohelm.tech/release",
  data: { release: "AA==" },
});

async function createAccount(ca = "") {
  const folder = await TestFolder.create();
  await folder.write("token", "first\n");
  await folder.write("ca.crt", ca);
  return folder;
}

peerTest("PodCluster trusts the CA of the service account, and no other", ["openssl"], async () => {
  const certificate = await makeCertificate();
  await using api = new ApiServer(certificate);
  api.put({ apiVersion: "v1", kind: "Namespace", metadata: { name: "crpe" } }, "test");
  await using account = await createAccount(certificate.cert);
  const cluster = new PodCluster({ url: api.url, namespace: "crpe", folder: account.path });
  assertEquals(await cluster.writeSecret(secret("a")), true);
  const first = await cluster.readSecret("a");
  assertEquals([first?.data, first?.type], [{ release: "AA==" }, "crpe.octohelm.tech/release"]);
  await account.write("ca.crt", (await makeCertificate()).cert);
  await assertRejects(() => cluster.readSecret("a"), ClusterUnreachableError, "does not answer");
});

Deno.test("PodCluster writes a Secret only over the version that was read", async () => {
  await using api = new ApiServer();
  await using account = await createAccount();
  const cluster = new PodCluster({ url: api.url, namespace: "default", folder: account.path });
  assertEquals(await cluster.readSecret("a"), undefined);
  assertEquals([await cluster.writeSecret(secret("a")), await cluster.writeSecret(secret("a"))], [true, false]);
  const version = (await cluster.readSecret("a"))!.metadata.resourceVersion;
  assertEquals([await cluster.writeSecret(secret("a", version)), await cluster.writeSecret(secret("a", version))], [
    true,
    false,
  ]);
  assertEquals((await cluster.listSecrets("app=crpe")).map(({ name }) => name), ["a"]);
  assertEquals(await cluster.listSecrets("app=other"), []);
  await cluster.applyConfigMap("index", { a: "1" }, "crpe-a");
  await cluster.applyConfigMap("index", { b: "2" }, "crpe-b");
  assertEquals(api.get("ConfigMap/default/index")?.data, { a: "1", b: "2" });
  await cluster.deleteSecret("a");
  await cluster.deleteSecret("a");
  assertEquals(await cluster.writeSecret(secret("a", version)), false);
  // A list asks for metadata only, and nothing else than these two kinds is ever touched.
  assert(api.requests.every(({ path }) => /^\/api\/v1\/namespaces\/default\/(?:secrets|configmaps)\b/.test(path)));
});

Deno.test("PodCluster reads the token again for each request, and sends it nowhere else", async () => {
  await using account = await createAccount();
  const seen: [string, string | null][] = [];
  const answers = [Response.json({ metadata: { name: "a" } }), Response.json({ metadata: { name: "a" } })];
  const cluster = new PodCluster({
    url: "http://api.test",
    namespace: "crpe",
    folder: account.path,
    fetch: (input, init) => {
      assertEquals(init?.redirect, "error");
      seen.push([String(input), new Headers(init?.headers).get("authorization")]);
      return Promise.resolve(answers.shift()!);
    },
  });
  await cluster.readSecret("a");
  await account.write("token", "second");
  await cluster.readSecret("a");
  const url = "http://api.test/api/v1/namespaces/crpe/secrets/a";
  assertEquals(seen, [[url, "Bearer first"], [url, "Bearer second"]]);
  await Deno.remove(`${account.path}/token`);
  await assertRejects(() => cluster.readSecret("a"), ClusterUnreachableError, "automountServiceAccountToken");
});

const FAILURES: readonly [criterion: string, answer: () => Response, reason: string][] = [
  [
    "a refusal",
    () => Response.json({ message: 'secrets is forbidden: User "x" cannot list' }, { status: 403 }),
    "answered 403: secrets is forbidden",
  ],
  ["a page of a proxy", () => new Response("<html>", { status: 502 }), "answered 502"],
  ["an object that is no Secret", () => Response.json([]), "does not answer with a Secret"],
  ["an endless answer", () => new Response("x".repeat(9 * 1024 * 1024)), "does not answer"],
];
for (const [criterion, answer, reason] of FAILURES) {
  Deno.test(`PodCluster takes ${criterion} for a cluster that cannot be asked`, async () => {
    await using account = await createAccount();
    const options = { url: "http://api.test", namespace: "crpe", folder: account.path };
    const cluster = new PodCluster({ ...options, fetch: () => Promise.resolve(answer()) });
    await assertRejects(() => cluster.readSecret("a"), ClusterUnreachableError, reason);
  });
}

Deno.test("PodCluster reads a list of pages to its end, and gives up an endless one", async () => {
  await using account = await createAccount();
  let pages = 0;
  const list = async (last: number) => {
    pages = 0;
    const cluster = new PodCluster({
      url: "http://api.test",
      namespace: "crpe",
      folder: account.path,
      fetch: (input) => {
        assertEquals(new URL(String(input)).searchParams.get("continue"), pages === 0 ? null : String(pages));
        pages++;
        const metadata = pages === last ? {} : { continue: String(pages) };
        return Promise.resolve(Response.json({ metadata, items: [{ metadata: { name: `s${pages}` } }] }));
      },
    });
    return (await cluster.listSecrets("a=b")).map(({ name }) => name);
  };
  assertEquals(await list(3), ["s1", "s2", "s3"]);
  await assertRejects(() => list(Infinity), ClusterUnreachableError, "more than 10000 releases");
});
