import { handOverPackage, isPackageHandedOver } from "../../../lib/install/hand_over_package.ts";
import { handedOverObjects } from "../../../lib/install/handover/handover_records.ts";
import { KubectlCluster } from "../../../lib/install/handover/kubectl_cluster.ts";
import { KubectlError } from "../../../lib/install/handover/kubectl_error.ts";
import { KubectlHandover } from "../../../lib/install/handover/kubectl_handover.ts";
import { labelsOf } from "../../../lib/install/handover/plan_objects.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { idOf, makeKubePkg } from "../../support/kubepkg.ts";
import { namesIn, RecordedKubectl } from "../../support/recorded_kubectl.ts";
import { TestFolder } from "../../support/test_folder.ts";

/** A release with ConfigMaps of these names in `default`. */
function release(version: string, ...names: string[]) {
  const base = makeKubePkg({}, { version });
  const manifests = Object.fromEntries(names.map((name) => {
    return [name, { apiVersion: "v1", kind: "ConfigMap", metadata: { name } }];
  }));
  return parseKubePkg({ ...base, spec: { ...base.spec, manifests } });
}

/** A cluster that has what is applied, does not delete what is in `held`, and refuses what is in `refused`. */
async function createSite() {
  const folder = await TestFolder.create();
  const records = new PackageRecords(`${folder.path}/data`);
  const kubectl = new RecordedKubectl();
  const [present, held, refused] = [new Set<string>(), new Set<string>(), new Set<string>()];
  kubectl.answer = ({ args, input = "" }) => {
    const names = namesIn(input);
    switch (args.includes("--dry-run=server") ? "" : args[0]) {
      case "apply":
        for (const name of names) if (!refused.has(name)) present.add(name);
        return names.some((name) => refused.has(name)) ? "error: no" : undefined;
      case "delete":
        for (const name of names) if (!held.has(name)) present.delete(name);
        return undefined;
      case "get":
        return {
          stdout: names.filter((it) => present.has(it)).map((it) => `v1 ConfigMap default ${it} <none> ${it}\n`).join(
            "",
          ),
        };
    }
  };
  let time = 0;
  const cluster = new KubectlCluster({
    runKubectl: kubectl.run,
    sleep: (ms) => Promise.resolve(void (time += ms)),
    now: () => time,
  });
  const options = { handover: new KubectlHandover(cluster), records };
  const listRecorded = async () => labelsOf(handedOverObjects(await records.handovers.read(idOf("line4"))));
  return { options, present, held, refused, listRecorded, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

Deno.test("[26] handOverPackage() records the objects of every attempt that failed", async () => {
  await using site = await createSite();
  site.refused.add("bad");
  for (const [version, name] of [["1.0.0", "x"], ["1.0.1", "y"], ["1.0.2", "z"]] as const) {
    await assertRejects(() => handOverPackage(release(version, "a", name, "bad"), site.options), KubectlError);
  }
  assertEquals(await site.listRecorded(), ["a", "bad", "x", "y", "z"].map((name) => `ConfigMap/default/${name}`));
  await handOverPackage(release("1.0.3", "a", "y"), site.options);
  assertEquals([...site.present].sort(), ["a", "y"]);
  assertEquals(await site.listRecorded(), ["ConfigMap/default/a", "ConfigMap/default/y"]);
});

Deno.test("[78] handOverPackage() records an object that does not go, and deletes it the next time", async () => {
  await using site = await createSite();
  await handOverPackage(release("1.0.0", "a", "b"), site.options);
  site.held.add("b");
  const upgrade = release("2.0.0", "a");
  const { result } = await handOverPackage(upgrade, site.options);
  assertEquals([result.isConfirmed, result.remaining], [false, ["ConfigMap/default/b"]]);
  assertEquals(await site.listRecorded(), ["ConfigMap/default/a", "ConfigMap/default/b"]);
  assertEquals(await isPackageHandedOver(upgrade, site.options), false);
  site.held.clear();
  assertEquals((await handOverPackage(upgrade, site.options)).result.isConfirmed, true);
  assertEquals([[...site.present], await site.listRecorded()], [["a"], ["ConfigMap/default/a"]]);
  assertEquals(await isPackageHandedOver(upgrade, site.options), true);
});
