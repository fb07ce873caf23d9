import type { KubectlCall } from "../../lib/install/handover/kubectl_error.ts";
import { ClusterUnreachableError, type Secret } from "../../lib/install/cluster/cluster_api.ts";
import { KubectlApi } from "../../lib/install/cluster/kubectl_api.ts";
import { RELEASE_ANNOTATION } from "../../lib/install/cluster/release_secret.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../support/assert.ts";
import { ApiServer } from "../support/cluster/api_server.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { findPeer, peerTest, runPeer } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

const IMAGE = "registry.test/app:1";

const FILES: readonly [file: string, objects: readonly string[]][] = [
  ["crpe-agent.yaml", [
    "namespace/crpe",
    "serviceaccount/crpe-agent",
    "role.rbac.authorization.k8s.io/crpe-agent",
    "rolebinding.rbac.authorization.k8s.io/crpe-agent",
    "daemonset.apps/crpe-agent",
  ]],
  ["crpe-registry.yaml", [
    "namespace/crpe-registry",
    "serviceaccount/crpe-registry",
    "deployment.apps/crpe-registry",
    "service/crpe-registry",
    "poddisruptionbudget.policy/crpe-registry",
    "horizontalpodautoscaler.autoscaling/crpe-registry",
  ]],
];
for (const [file, objects] of FILES) {
  peerTest(`scripts/service/${file} passes kubectl apply --dry-run=client`, ["kubectl"], async () => {
    await using folder = await TestFolder.create();
    await using api = new ApiServer();
    const env = { KUBECONFIG: await folder.write("kubeconfig", api.kubeconfig()), HOME: folder.path };
    const path = new URL(`../../scripts/service/${file}`, import.meta.url).pathname;
    const { code, stdout, stderr } = await runPeer("kubectl", ["apply", "--dry-run=client", "-f", path], { env });
    assertEquals(code, 0, stderr);
    assertEquals(stdout.trim().split("\n"), objects.map((object) => `${object} created (dry run)`));
  });
}

peerTest(
  "KubectlApi writes a Secret only over the version that was read, and lists by label",
  ["kubectl"],
  async () => {
    await using folder = await TestFolder.create();
    await using api = new ApiServer();
    const source = `${await Deno.realPath(folder.path)}/coredns.yaml`;
    const addon = {
      apiVersion: "k3s.cattle.io/v1",
      kind: "Addon",
      metadata: { name: "coredns", namespace: "kube-system" },
    };
    api.put({ ...addon, spec: { source } }, "k3s");
    const KUBECONFIG = await folder.write("kubeconfig", api.kubeconfig("other"));
    const runKubectl = async ({ args, input = "" }: KubectlCall) => {
      const child = new Deno.Command(findPeer("kubectl")!, {
        args: [...args],
        env: { KUBECONFIG, HOME: folder.path },
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      await new Blob([input]).stream().pipeTo(child.stdin);
      const { code, stdout, stderr } = await child.output();
      const decoder = new TextDecoder();
      return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
    };
    const cluster = new KubectlApi({ runKubectl, namespace: "crpe", folder: folder.path });
    const secret = (resourceVersion?: string): Secret => ({
      metadata: {
        name: "a",
        labels: { app: "crpe" },
        annotations: { [RELEASE_ANNOTATION]: '{"a":"b c\\t"}' },
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      type: "crpe.octohelm.tech/release",
      data: { release: "AA==" },
    });
    await assertRejects(() => cluster.writeSecret(secret()), ClusterUnreachableError, 'namespaces "crpe" not found');
    api.put({ apiVersion: "v1", kind: "Namespace", metadata: { name: "crpe" } }, "test");
    assertEquals(await cluster.readSecret("a"), undefined);
    assertEquals([await cluster.writeSecret(secret()), await cluster.writeSecret(secret())], [true, false]);
    const found = await cluster.readSecret("a");
    assertEquals([found?.data, found?.type], [{ release: "AA==" }, "crpe.octohelm.tech/release"]);
    const version = found?.metadata.resourceVersion;
    assertEquals([await cluster.writeSecret(secret(version)), await cluster.writeSecret(secret(version))], [
      true,
      false,
    ]);
    const [listed, ...more] = await cluster.listSecrets("app=crpe");
    assertEquals([listed?.annotations, more], [{ [RELEASE_ANNOTATION]: '{"a":"b c\\t"}' }, []]);
    assertEquals(await cluster.listSecrets("app=other"), []);
    for (const [key, manager] of [["a", "crpe-a"], ["b", "crpe-b"]] as const) {
      await cluster.applyConfigMap("index", { [key]: "1" }, manager);
    }
    assertEquals(api.get("ConfigMap/crpe/index")?.data, { a: "1", b: "1" });
    await cluster.deleteSecret("a");
    await cluster.deleteSecret("a");
    assertEquals(await cluster.writeSecret(secret(version)), false);
  },
);

/** Servers with an agent each, whose kubectl reaches one cluster that reads the manifest folders of all of them. */
async function createServers(names: readonly string[]) {
  const fixture = await createPackFixture({ [IMAGE]: buildImage() });
  const { folder } = fixture;
  const api = new ApiServer();
  api.put({ apiVersion: "v1", kind: "Namespace", metadata: { name: "crpe" } }, "test");
  for (const version of ["1.0.0", "1.1.0", "1.2.0"]) {
    const { code, stderr } = await fixture.pack(makeKubePkg({ [IMAGE]: "" }, { version, data: { version } }), version);
    assertEquals(code, 0, stderr);
  }
  for (const name of names) {
    await folder.write(`${name}/manifests/coredns.yaml`, "# of k3s\n");
    // Of the file that k3s itself has in its folder, which its Addon names.
    const source = `${await Deno.realPath(`${folder.path}/${name}/manifests`)}/coredns.yaml`;
    api.put({
      apiVersion: "k3s.cattle.io/v1",
      kind: "Addon",
      metadata: { name: `coredns-${name}`, namespace: "kube-system" },
      spec: { source },
    }, "k3s");
  }
  const bin = `${folder.path}/bin`;
  await Deno.mkdir(bin);
  await Deno.symlink(findPeer("kubectl")!, `${bin}/kubectl`);
  const env = {
    ...fixture.processOptions.env,
    PATH: `${bin}:${Deno.env.get("PATH")}`,
    KUBECONFIG: await folder.write("kubeconfig", api.kubeconfig()),
  };
  const options = { ...fixture.processOptions, env };
  return {
    folder,
    api,
    start: (name: string, ...flags: string[]) =>
      startCrpe([
        "agent",
        "--addr=127.0.0.1:0",
        `--data=${name}/data`,
        `--manifests-dir=${name}/manifests`,
        `--node-id=${name}`,
        "--sync-interval=500ms",
        ...flags,
      ], options),
    async push(version: string, { name, url }: { name: string; url: string }, query = "") {
      const token = (await Deno.readTextFile(`${folder.path}/${name}/data/kubepkg/.token`)).trim();
      const body = await Deno.readFile(`${folder.path}/${version}.tgz`);
      const headers = { authorization: `Bearer ${token}` };
      const response = await fetch(`${url}/kubepkgs?${query}`, { method: "PUT", body, headers });
      return { status: response.status, text: await response.text() };
    },
    read: (name: string) => Deno.readTextFile(`${folder.path}/${name}/manifests/line4.yaml`).catch(() => ""),
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]();
      await fixture[Symbol.asyncDispose]();
    },
  };
}

/** Waits until a text has a part, for at most 20 seconds. */
async function waitFor(read: () => Promise<string>, part: string): Promise<void> {
  let text = "";
  for (let i = 0; i < 200; i++) {
    text = await read();
    if (text.includes(part)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assertStringIncludes(text, part);
}

peerTest("two agents, with kubectl, keep their folders at the release of the newest import, also after a stop", [
  "kubectl",
], async () => {
  await using servers = await createServers(["a", "b"]);
  await using a = await servers.start("a");
  {
    await using b = await servers.start("b");
    const { status, text } = await servers.push("1.0.0", { name: "a", url: a.url });
    assertEquals(status, 200, text);
    await waitFor(() => servers.read("b"), "1.0.0");
    await waitFor(
      () => Promise.resolve(b.log()),
      "line4@1.0.0, which server a installed, is handed over here too; its images are not copied",
    );
    await waitFor(
      () => Deno.readTextFile(`${servers.folder.path}/b/data/audit.ndjson`),
      '"action":"cluster-sync","by":{"server":"a"},"namespace":"default","name":"line4","version":"1.0.0",' +
        '"result":"handed-over"',
    );
  }
  assertEquals((await servers.push("1.2.0", { name: "a", url: a.url })).status, 200);
  assertStringIncludes(await servers.read("b"), "1.0.0");
  await using b = await servers.start("b");
  await waitFor(() => servers.read("b"), "1.2.0");
  assertEquals(await servers.read("b"), await servers.read("a"));
  const refused = await servers.push("1.1.0", { name: "b", url: b.url });
  assertEquals(
    [refused.status, /cluster has 1\.2\.0, installed on server a/.test(refused.text)],
    [409, true],
    refused.text,
  );
  assertEquals((await servers.push("1.1.0", { name: "b", url: b.url }, "force")).status, 200);
  await waitFor(() => servers.read("a"), "1.1.0");
});

peerTest(
  "an agent whose kubectl reaches another cluster works as on a single server, with one warning",
  ["kubectl"],
  async () => {
    await using servers = await createServers(["a"]);
    servers.api.delete("Addon/kube-system/coredns-a");
    await using a = await servers.start("a");
    const { status, text } = await servers.push("1.0.0", { name: "a", url: a.url });
    assertEquals(status, 200, text);
    assertStringIncludes(await servers.read("a"), "1.0.0");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assertEquals(a.log().split("the cluster's releases are not known").length - 1, 1, a.log());
    assertEquals(servers.api.list().filter((label) => label.startsWith("Secret/")), []);
  },
);
