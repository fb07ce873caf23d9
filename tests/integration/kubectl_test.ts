import type { KubeObject } from "../../lib/kubepkg/kubepkg.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { FakeKubectl } from "../support/fake_kubectl.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

const IMAGE = "registry.test/app:1";
const APPLY = "apply --server-side --field-manager=crpe --request-timeout=60s -f -";
const TRY = `${APPLY} --dry-run=server`;
const DELETE = "delete --ignore-not-found --wait=false --request-timeout=60s -f -";
const VERSION = "version --request-timeout=15s";
const GET = "get --ignore-not-found --no-headers --request-timeout=15s -f -";
const WAIT = "wait --for=condition=Established --timeout=60s -f -";

const object = (apiVersion: string, kind: string, name: string): KubeObject => ({
  apiVersion,
  kind,
  metadata: { name },
});
const [NAMESPACE, CRD, CLAIM, WIDGET, CONFIG, SECRET] = [
  object("v1", "Namespace", "shop"),
  object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "widgets.example.com"),
  object("v1", "PersistentVolumeClaim", "data"),
  object("example.com/v1", "Widget", "w"),
  object("v1", "ConfigMap", "web"),
  object("v1", "Secret", "s"),
];

/** A site with a kubectl, and bundles of line4 with one manifest more in 1.0.0 than in 2.0.0. */
async function createSite() {
  const fixture = await createPackFixture({ [IMAGE]: buildImage() });
  const kubectl = await FakeKubectl.create();
  const releases = { "1.0.0": [WIDGET, CONFIG, SECRET, CRD, CLAIM, NAMESPACE], "2.0.0": [CONFIG] };
  for (const [version, objects] of Object.entries(releases)) {
    const base = makeKubePkg({ [IMAGE]: "" }, { version });
    const manifests = Object.fromEntries(objects.map((object) => [`${object!.kind}.x`, object]));
    const { code, stderr } = await fixture.pack({ ...base, spec: { ...base.spec, manifests } }, version);
    assertEquals(code, 0, stderr);
  }
  const run = async (...args: string[]) => {
    const env = { ...fixture.processOptions.env, PATH: kubectl.path };
    return await runCrpe([...args, "--data=site"], { ...fixture.processOptions, env });
  };
  return {
    ...fixture,
    run,
    kubectl,
    takeCalls: async () =>
      (await kubectl.takeCalls()).map(({ args, input }) => {
        return [
          args.replace(/-o=custom-columns=\S+ /, ""),
          ...[...input.matchAll(/^kind: (.*)$/gm)].map((match) => match[1]),
        ].join(" ");
      }),
    async [Symbol.asyncDispose]() {
      await fixture[Symbol.asyncDispose]();
      await kubectl[Symbol.asyncDispose]();
    },
  };
}

Deno.test("import --kubectl applies, and an upgrade deletes what left the package, but no data", async () => {
  await using site = await createSite();
  const first = await site.run("import", "1.0.0.tgz", "--kubectl");
  assertEquals(first.code, 0, first.stderr);
  assertStringIncludes(first.stdout, "handed over to the cluster, by kubectl");
  assertEquals(await site.takeCalls(), [
    ...[VERSION, `${TRY} Namespace CustomResourceDefinition Secret ConfigMap PersistentVolumeClaim Widget`],
    VERSION,
    `${APPLY} Namespace CustomResourceDefinition`,
    `${WAIT} CustomResourceDefinition`,
    `${APPLY} Secret ConfigMap PersistentVolumeClaim Widget`,
    `${GET} Namespace CustomResourceDefinition Secret ConfigMap PersistentVolumeClaim Widget`,
  ]);
  const same = await site.run("import", "1.0.0.tgz", "--kubectl");
  assertStringIncludes(same.stdout, "nothing to do");
  assertEquals((await site.takeCalls()).map((call) => call.split(" ")[0]), ["version", "apply", "diff"]);

  const second = await site.run("import", "2.0.0.tgz", "--kubectl", "--json");
  assertEquals(second.code, 0, second.stderr);
  assertEquals(await site.takeCalls(), [
    ...[VERSION, `${TRY} ConfigMap`, VERSION, `${APPLY} ConfigMap`],
    ...[`${GET} Widget Secret`, `${DELETE} Widget`, `${GET} Widget`, `${DELETE} Secret`, `${GET} Secret`],
    `${GET} ConfigMap`,
  ]);
  const [{ handover, manifests: { kept } }] = JSON.parse(second.stdout);
  assertEquals(handover, "the cluster, by kubectl");
  assertEquals(kept.map(({ object }: { object: string }) => object), [
    ...["Namespace/shop", "CustomResourceDefinition/widgets.example.com", "PersistentVolumeClaim/default/data"],
  ]);
});

Deno.test("[26] import --kubectl that kubectl refuses says what it said, records nothing, and is done again", async () => {
  await using site = await createSite();
  await site.kubectl.fail("apply", "Error from server (Forbidden): secrets is forbidden\nsecond line\n");
  const { code, stderr } = await site.run("import", "1.0.0.tgz", "--kubectl");
  assertEquals(code, 1);
  assertStringIncludes(
    stderr,
    "crpe: Cannot hand over line4@1.0.0: kubectl failed with status 1: the cluster does not",
  );
  assertStringIncludes(
    stderr,
    "\n  kubectl: Error from server (Forbidden): secrets is forbidden\n  kubectl: second line\n",
  );
  assertEquals((await site.run("packages")).stdout.trim().split("\n").length, 1);
  await site.kubectl.succeed("apply");
  const again = await site.run("import", "1.0.0.tgz", "--kubectl", "--json");
  assertEquals(JSON.parse(again.stdout)[0].blobs.written, 0);
  assertStringIncludes((await site.run("packages")).stdout, "line4");
});

Deno.test("import --kubectl without a kubectl, or a cluster, says so before anything is written", async () => {
  await using site = await createSite();
  const env = { ...site.processOptions.env, PATH: "/nonexistent" };
  const missing = await runCrpe(["import", "1.0.0.tgz", "--kubectl", "--data=site"], { ...site.processOptions, env });
  assertEquals(missing.code, 1);
  assertEquals(
    missing.stderr,
    "crpe: Cannot hand manifests over, nothing was changed: kubectl is not on $PATH; install it, or use " +
      "--manifests-dir\n",
  );
  await site.kubectl.fail("version", "The connection to the server localhost:8080 was refused\n");
  const silent = await site.run("import", "1.0.0.tgz", "--kubectl");
  assertEquals(silent.code, 1);
  assertStringIncludes(silent.stderr, "it does not reach the cluster");
  assertEquals(await site.folder.listFiles("site/docker"), []);
  assertEquals(await site.folder.listFiles("site/kubepkg"), []);
});

Deno.test("a program without kubectl on its machine says nothing of it", async () => {
  await using site = await createSite();
  const env = { ...site.processOptions.env, PATH: "/nonexistent" };
  const { code, stderr } = await runCrpe(["images", "--data=site"], { ...site.processOptions, env });
  assertEquals([code, stderr.includes("kubectl")], [0, false], stderr);
});

Deno.test("kubectl runs in the processOptions of crpe, but for what a linker is told", async () => {
  await using site = await createSite();
  const env = {
    ...site.processOptions.env,
    PATH: site.kubectl.path,
    KUBECONFIG: "/nonexistent/k3s.yaml",
    LD_LIBRARY_PATH: "/nonexistent",
  };
  const { code, stderr } = await runCrpe(["import", "1.0.0.tgz", "--kubectl", "--data=site"], {
    ...site.processOptions,
    env,
  });
  assertEquals(code, 0, stderr);
  assertEquals(
    new Set((await site.kubectl.takeCalls()).map(({ kubeconfig }) => kubeconfig)),
    new Set([env.KUBECONFIG]),
  );
});

Deno.test("[95] a kubectl that waits for a login is ended, and named", async () => {
  await using site = await createSite();
  assertEquals((await site.run("import", "1.0.0.tgz", "--kubectl")).code, 0);
  await site.kubectl.hang("version", "Visit https://login.example to log in\n");
  const start = performance.now();
  const { code, stderr } = await site.run("packages", "remove", "line4");
  assertEquals(code, 1);
  assertStringIncludes(
    stderr,
    "nothing was changed: kubectl did not answer in 20 s; check that the API server answers",
  );
  assertStringIncludes(stderr, "\n  kubectl: Visit https://login.example to log in");
  assert(performance.now() - start < 40_000, "each call has its limit");
});

Deno.test("rollback and remove use kubectl where the import did", async () => {
  await using site = await createSite();
  for (const version of ["1.0.0", "2.0.0"]) {
    const { code, stderr } = await site.run("import", `${version}.tgz`, "--kubectl");
    assertEquals(code, 0, stderr);
  }
  await site.takeCalls();
  const back = await site.run("packages", "rollback", "line4");
  assertEquals(back.code, 0, back.stderr);
  assertEquals((await site.takeCalls()).map((call) => call.split(" ")[0]), [
    ...["version", "version", "apply", "apply", "wait", "apply", "get"],
  ]);

  await site.kubectl.fail("delete", "error: timed out\n");
  const failed = await site.run("packages", "remove", "line4");
  assertEquals(failed.code, 1);
  assertStringIncludes(failed.stderr, "Cannot remove line4@1.0.0: kubectl failed");
  assertStringIncludes((await site.run("packages")).stdout, "line4");
  await site.kubectl.succeed("delete");
  await site.takeCalls();
  const removed = await site.run("packages", "remove", "line4", "--prune-data");
  assertEquals(removed.code, 0, removed.stderr);
  assertEquals((await site.takeCalls()).filter((call) => call.startsWith("delete")), [
    ...[`${DELETE} Widget`, `${DELETE} PersistentVolumeClaim ConfigMap Secret`, `${DELETE} CustomResourceDefinition`],
    `${DELETE} Namespace`,
  ]);
  assertEquals(await site.folder.listFiles("site/kubepkg"), [".node-key.pem"]);
});

Deno.test("a package that kubectl takes over leaves the folder of manifests", async () => {
  await using site = await createSite();
  assertEquals((await site.run("import", "1.0.0.tgz", "--manifests-dir=manifests")).code, 0);
  assertEquals(await site.folder.listFiles("manifests"), ["line4.yaml"]);
  const { code, stderr } = await site.run("import", "2.0.0.tgz", "--kubectl");
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, "manifests/line4.yaml is removed, kubectl manages its objects now");
  assertEquals(await site.folder.listFiles("manifests"), []);
  assertEquals((await site.takeCalls()).filter((call) => call.startsWith("delete")), [
    ...[`${DELETE} Widget`, `${DELETE} Secret`],
  ]);
});
