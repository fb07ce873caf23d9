// A manifest folder that a stand-in of k3s polls, asked with the real kubectl.
import type { KubeObject } from "../../lib/kubepkg/kubepkg.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeObject, makeRelease, THINGS } from "../support/cluster/folder_site.ts";
import { createClusterSite } from "../support/cluster/cluster_site.ts";
import { DeployController } from "../support/cluster/deploy_controller.ts";
import { spawnCrpe } from "../support/crpe_process.ts";
import { peerTest } from "../support/peers.ts";

/** A site whose packages are named `web`, in the namespace `default`. */
async function createSite() {
  const site = await createClusterSite();
  const manifests = await Deno.realPath(`${site.folder.path}/manifests`);
  const controller = new DeployController(site.api, manifests, { source: "/var/lib/rancher/k3s/server/manifests" });
  const poll = async (passes = 2) => {
    for (let pass = 0; pass < passes; pass++) await controller.poll();
  };
  return {
    ...site,
    controller,
    poll,
    file: `${manifests}/web.yaml`,
    /** Imports a release, without a poll. */
    async install(version: string, objects: readonly KubeObject[], ...flags: string[]) {
      await site.folder.write(`web-${version}.json`, JSON.stringify(makeRelease(objects, { version })));
      const pack = await site.run("pack", `web-${version}.json`, "-o", `web-${version}.tgz`, "--offline");
      assertEquals(pack.code, 0, pack.stderr);
      const { code, stdout, stderr } = await site.run(
        "import",
        `web-${version}.tgz`,
        "--manifests-dir=manifests",
        ...flags,
      );
      assertEquals(code, 0, stderr);
      return stdout;
    },
    async status(...flags: string[]) {
      const { code, stdout, stderr } = await site.run("packages", "status", "web", ...flags);
      assertEquals(stderr, "");
      return [code, ...stdout.trimEnd().split("\n")];
    },
    [Symbol.asyncDispose]: () => site[Symbol.asyncDispose](),
  };
}

const CONFIG = makeObject("ConfigMap/a", { data: { a: "1" } });
const CLAIM = makeObject("PersistentVolumeClaim/db", { spec: { accessModes: ["ReadWriteOnce"] } });
const DEPLOYMENT = makeObject("Deployment/w", { spec: { replicas: 1 } });

peerTest("[78] packages status asks k3s: pending, applied, failed with its words, deleted objects; unknown", [
  "kubectl",
], async () => {
  await using site = await createSite();
  const said = await site.install("1.0.0", [CONFIG, DEPLOYMENT]);
  assertStringIncludes(
    said,
    `  handed over to ${site.file}; k3s applies it within 15 s (crpe packages status shows it)\n`,
  );
  assertEquals(await site.status(), [
    1,
    `web@1.0.0 is pending: ${site.file}`,
    "  missing in the cluster: ConfigMap/default/a",
    "  missing in the cluster: Deployment/default/w",
  ]);
  await site.poll();
  assertEquals(await site.status(), [0, `web@1.0.0 is applied: ${site.file}`]);

  site.api.delete("ConfigMap/default/a");
  assertEquals(await site.status(), [
    0,
    `web@1.0.0 is applied: ${site.file}`,
    "  missing in the cluster: ConfigMap/default/a",
    "  crpe import --force applies the package again",
  ]);
  await site.install("1.0.0", [CONFIG, DEPLOYMENT], "--force");
  await site.poll();
  assertEquals(await site.status(), [0, `web@1.0.0 is applied: ${site.file}`]);

  site.controller.refuse = ({ kind }) => kind === "Deployment" ? "the field is immutable" : undefined;
  await site.install("1.1.0", [DEPLOYMENT]);
  await site.poll();
  const [code, line, reason] = await site.status();
  assertEquals([code, line], [1, `web@1.1.0 has failed: ${site.file}`]);
  assertStringIncludes(String(reason), "failed to create Deployment/default/w: the field is immutable");
  site.controller.refuse = () => undefined;
  await site.poll();
  const report = JSON.parse((await site.run("packages", "status", "web", "--json")).stdout);
  assertEquals([report.state, report.handedOver, report.removing, report.missing], ["applied", "1.1.0", false, []]);

  await site.setReachable(false);
  assertEquals(await site.status(), [
    1,
    `web@1.1.0 is unknown: ${site.file}`,
    "  kubectl does not reach the cluster that reads the file",
  ]);
});

peerTest("[78] packages status --wait waits for k3s, also past the first attempt at a definition and its object", [
  "kubectl",
], async () => {
  await using site = await createSite();
  await site.install("1.0.0", [THINGS, makeObject("Thing/t")]);
  const waiting = site.status("--wait=60s");
  await site.poll(1);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await site.poll(1);
  assertEquals(await waiting, [0, `web@1.0.0 is applied: ${site.file}`]);
  assertEquals((await site.run("packages", "status", "web", "--wait=soon")).code, 2);
});

peerTest("[26][78] a removal that is killed while it waits for k3s is finished by the next one, which keeps data", [
  "kubectl",
], async () => {
  await using site = await createSite();
  await site.install("1.0.0", [CONFIG, CLAIM]);
  await site.poll();
  const crpe = spawnCrpe(["packages", "remove", "web", "--wait=10m", "--data=site"], {
    cwd: site.folder.path,
    env: site.env,
  });
  crpe.listening.catch(() => {});
  await crpe.printed("waiting up to 10:00");
  crpe.kill("SIGKILL");
  await crpe.finished;
  assertEquals((await Deno.readTextFile(site.file)).includes("ConfigMap"), false);
  const [code, line, ...more] = await site.status();
  assertEquals([code, line], [1, `web@1.0.0, which is being removed, is pending: ${site.file}`]);
  assertEquals(more, [
    "  still in the cluster: ConfigMap/default/a",
    "  crpe packages remove web continues the removal",
  ]);

  const removal = site.run("packages", "remove", "web", "--wait=60s");
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await site.poll();
  const { code: ended, stdout, stderr } = await removal;
  assertEquals(ended, 0, stderr);
  assertStringIncludes(
    stdout,
    "removed web@1.0.0\n  - ConfigMap/default/a\n  = PersistentVolumeClaim/default/db is kept",
  );
  assertStringIncludes(stdout, `  its objects are gone from the cluster (${site.file})\n`);
  assertEquals(site.list().filter((label) => !/^(?:Addon|Event)\//.test(label)), ["PersistentVolumeClaim/default/db"]);
  assertEquals(await site.folder.listFiles("manifests"), []);
});

peerTest(
  "[78] a removal names what k3s did not delete, with exit status 1, and keeps the package",
  ["kubectl"],
  async () => {
    await using site = await createSite();
    site.controller.refuse = ({ kind }) => kind === "Deployment" ? "no" : undefined;
    await site.install("1.0.0", [CONFIG, DEPLOYMENT]);
    await site.poll();
    const removal = site.run("packages", "remove", "web", "--wait=8s");
    while (await Deno.readTextFile(site.file) !== "") await new Promise((resolve) => setTimeout(resolve, 20));
    await site.poll();
    const { code, stdout, stderr } = await removal;
    assertEquals(code, 1, stdout + stderr);
    assertStringIncludes(stdout, "web@1.0.0 is not removed yet\n");
    assertStringIncludes(stdout, "  still in the cluster: ConfigMap/default/a\n");
    assertStringIncludes(stdout, "  what k3s does not delete, kubectl delete does\n");
    await site.kubectl(["delete", "configmap", "a", "-n", "default"]);
    assertEquals((await site.run("packages", "remove", "web")).code, 0);
  },
);
