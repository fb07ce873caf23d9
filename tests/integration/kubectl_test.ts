import type { KubeObject } from "../../lib/kubepkg/kubepkg.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { FakeKubectl } from "../support/fake_kubectl.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

const IMAGE = "registry.test/app:1";
const APPLY = "apply --server-side --field-manager=crpe -f -";
const DELETE = "delete --ignore-not-found --timeout=5m -f -";
const VERSION = "version --request-timeout=20s";
const DIFF = "diff --server-side --field-manager=crpe --request-timeout=20s -f -";
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

/** Creates a folder with a fake kubectl, and bundles of line4: 1.0.0 has more manifests than 2.0.0. */
async function createFixture() {
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
        return [args, ...[...input.matchAll(/^kind: (.*)$/gm)].map((match) => match[1])].join(" ");
      }),
    async [Symbol.asyncDispose]() {
      await fixture[Symbol.asyncDispose]();
      await kubectl[Symbol.asyncDispose]();
    },
  };
}

Deno.test("import --kubectl applies the manifests, and an upgrade deletes the objects that left the package, but no data", async () => {
  await using fixture = await createFixture();
  const first = await fixture.run("import", "1.0.0.tgz", "--kubectl");
  assertEquals(first.code, 0, first.stderr);
  assertStringIncludes(first.stdout, "handed over to the cluster, by kubectl");
  assertEquals(await fixture.takeCalls(), [
    VERSION,
    `${APPLY} Namespace CustomResourceDefinition`,
    `${WAIT} CustomResourceDefinition`,
    `${APPLY} ConfigMap PersistentVolumeClaim Secret Widget`,
  ]);
  const same = await fixture.run("import", "1.0.0.tgz", "--kubectl");
  assertStringIncludes(same.stdout, "nothing to do");
  assertEquals((await fixture.takeCalls()).map((call) => call.slice(0, DIFF.length)), [DIFF]);

  const second = await fixture.run("import", "2.0.0.tgz", "--kubectl", "--json");
  assertEquals(second.code, 0, second.stderr);
  assertEquals(await fixture.takeCalls(), [VERSION, `${APPLY} ConfigMap`, `${DELETE} Widget Secret`]);
  const { handover, left } = JSON.parse(second.stdout);
  assertEquals(handover, "the cluster, by kubectl");
  assertEquals(left, ["CustomResourceDefinition/widgets.example.com", "Namespace/shop", "PersistentVolumeClaim/data"]);
});

Deno.test("[26] import --kubectl prints kubectl's error and records nothing when kubectl fails, and succeeds when repeated", async () => {
  await using fixture = await createFixture();
  await fixture.kubectl.fail("apply", "Error from server (Forbidden): secrets is forbidden\nsecond line\n");
  const { code, stderr } = await fixture.run("import", "1.0.0.tgz", "--kubectl");
  assertEquals(code, 1);
  assertStringIncludes(
    stderr,
    "crpe: Cannot hand over line4@1.0.0: kubectl failed with status 1: the cluster does not",
  );
  assertStringIncludes(
    stderr,
    "\n  kubectl: Error from server (Forbidden): secrets is forbidden\n  kubectl: second line\n",
  );
  assertEquals((await fixture.run("packages")).stdout.trim().split("\n").length, 1);
  await fixture.kubectl.succeed("apply");
  const again = await fixture.run("import", "1.0.0.tgz", "--kubectl", "--json");
  assertEquals(JSON.parse(again.stdout).blobs.written, 0);
  assertStringIncludes((await fixture.run("packages")).stdout, "line4");
});

Deno.test("import --kubectl reports a missing kubectl or cluster before anything is written", async () => {
  await using fixture = await createFixture();
  const env = { ...fixture.processOptions.env, PATH: "/nonexistent" };
  const missing = await runCrpe(["import", "1.0.0.tgz", "--kubectl", "--data=site"], {
    ...fixture.processOptions,
    env,
  });
  assertEquals(missing.code, 1);
  assertEquals(
    missing.stderr,
    "crpe: Cannot hand manifests over, nothing was changed: kubectl is not on $PATH; install it, or use " +
      "--manifests-dir\n",
  );
  await fixture.kubectl.fail("version", "The connection to the server localhost:8080 was refused\n");
  const silent = await fixture.run("import", "1.0.0.tgz", "--kubectl");
  assertEquals(silent.code, 1);
  assertStringIncludes(silent.stderr, "it does not reach the cluster");
  assertEquals(await fixture.folder.listFiles("site/docker"), []);
  assertEquals(await fixture.folder.listFiles("site/kubepkg"), []);
});

Deno.test("a command that needs no kubectl does not mention a missing one", async () => {
  await using fixture = await createFixture();
  const env = { ...fixture.processOptions.env, PATH: "/nonexistent" };
  const { code, stderr } = await runCrpe(["images", "--data=site"], { ...fixture.processOptions, env });
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
});

Deno.test("kubectl runs with crpe's environment, except for the variables of the dynamic linker", async () => {
  await using fixture = await createFixture();
  const env = {
    ...fixture.processOptions.env,
    PATH: fixture.kubectl.path,
    KUBECONFIG: "/nonexistent/k3s.yaml",
    LD_LIBRARY_PATH: "/nonexistent",
  };
  const { code, stderr } = await runCrpe(["import", "1.0.0.tgz", "--kubectl", "--data=site"], {
    ...fixture.processOptions,
    env,
  });
  assertEquals(code, 0, stderr);
  assertEquals(
    new Set((await fixture.kubectl.takeCalls()).map(({ kubeconfig }) => kubeconfig)),
    new Set([env.KUBECONFIG]),
  );
});

Deno.test("rollback and remove use kubectl when the import did", async () => {
  await using fixture = await createFixture();
  for (const version of ["1.0.0", "2.0.0"]) {
    const { code, stderr } = await fixture.run("import", `${version}.tgz`, "--kubectl");
    assertEquals(code, 0, stderr);
  }
  await fixture.takeCalls();
  const back = await fixture.run("packages", "rollback", "line4");
  assertEquals(back.code, 0, back.stderr);
  assertEquals((await fixture.takeCalls()).map((call) => call.split(" ")[0]), ["version", "apply", "wait", "apply"]);

  await fixture.kubectl.fail("delete", "error: timed out\n");
  const failed = await fixture.run("packages", "remove", "line4");
  assertEquals(failed.code, 1);
  assertStringIncludes(failed.stderr, "Cannot remove line4@1.0.0: kubectl failed");
  assertStringIncludes((await fixture.run("packages")).stdout, "line4");
  await fixture.kubectl.succeed("delete");
  await fixture.takeCalls();
  const removed = await fixture.run("packages", "remove", "line4");
  assertEquals(removed.code, 0, removed.stderr);
  assertEquals(await fixture.takeCalls(), [
    `${DELETE} Widget Secret PersistentVolumeClaim ConfigMap`,
    `${DELETE} CustomResourceDefinition`,
    `${DELETE} Namespace`,
  ]);
  assertEquals(await fixture.folder.listFiles("site/kubepkg"), []);
});

Deno.test("a package that moves to kubectl is removed from the manifests folder", async () => {
  await using fixture = await createFixture();
  assertEquals((await fixture.run("import", "1.0.0.tgz", "--manifests-dir=manifests")).code, 0);
  assertEquals(await fixture.folder.listFiles("manifests"), ["line4.yaml"]);
  const { code, stderr } = await fixture.run("import", "2.0.0.tgz", "--kubectl");
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, "manifests/line4.yaml is removed, kubectl manages its objects now");
  assertEquals(await fixture.folder.listFiles("manifests"), []);
  assertEquals((await fixture.takeCalls()).at(-1), `${DELETE} Widget Secret`);
});
