import { FolderHandover } from "../../../../lib/install/handover/folder_handover.ts";
import type { KubeObject, KubePkg } from "../../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../../lib/kubepkg/parse_kubepkg.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";
import { makeKubePkg } from "../../../support/kubepkg.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const release = (version: string) => parseKubePkg(makeKubePkg({}, { version }));

function withManifests(manifests: Record<string, KubeObject>): KubePkg {
  const kubepkg = release("1.0.0");
  return { ...kubepkg, spec: { ...kubepkg.spec, manifests } };
}

Deno.test("FolderHandover.handOver() writes one file for a package and leaves no temporary file", async () => {
  await using folder = await TestFolder.create();
  const handover = new FolderHandover(`${folder.path}/manifests`);
  await handover.handOver(release("1.0.0"));
  const { where, left } = await handover.handOver(release("1.1.0"));
  assertEquals(await folder.listFiles("manifests"), ["line4.yaml"]);
  assertStringIncludes(await Deno.readTextFile(where), "kind: ConfigMap");
  assertEquals(left, []);
});

Deno.test("[26] FolderHandover.handOver() replaces the temporary file that a crash has left", async () => {
  await using folder = await TestFolder.create();
  await folder.write("manifests/.line4.yaml.tmp", "half a fi");
  await new FolderHandover(`${folder.path}/manifests`).handOver(release("1.0.0"));
  assertEquals(await folder.listFiles("manifests"), ["line4.yaml"]);
});

Deno.test("FolderHandover.handOver() of a package without manifests empties its file, so that k3s prunes", async () => {
  await using folder = await TestFolder.create();
  const handover = new FolderHandover(`${folder.path}/manifests`);
  await handover.handOver(release("1.0.0"));
  const empty = withManifests({});
  assertEquals(await handover.isHandedOver(empty), false);
  const { where } = await handover.handOver(empty);
  assertEquals([await Deno.readTextFile(where), await handover.isHandedOver(empty)], ["", true]);
});

Deno.test("FolderHandover.remove() empties the file, waits for the watcher, and removes it", async () => {
  await using folder = await TestFolder.create();
  const seen: unknown[] = [];
  const handover = new FolderHandover(`${folder.path}/manifests`, {
    waitForWatcher: async () => {
      seen.push(await folder.listFiles("manifests"), await Deno.readTextFile(`${folder.path}/manifests/line4.yaml`));
    },
  });
  await handover.handOver(release("1.0.0"));
  await handover.remove(release("1.0.0"));
  assertEquals(seen, [["line4.yaml"], ""]);
  assertEquals(await folder.listFiles("manifests"), []);
  // The file does not exist any more, so there is nothing to wait for.
  await handover.remove(release("1.0.0"));
  assertEquals(seen.length, 2);
});

Deno.test("[26] FolderHandover.remove() that was interrupted while it waited can be repeated", async () => {
  await using folder = await TestFolder.create();
  let isCut = true;
  const handover = new FolderHandover(`${folder.path}/manifests`, {
    waitForWatcher: () => isCut ? Promise.reject(new Error("cut off")) : Promise.resolve(),
  });
  await handover.handOver(release("1.0.0"));
  await assertRejects(() => handover.remove(release("1.0.0")), Error, "cut off");
  assertEquals(await Deno.readTextFile(`${folder.path}/manifests/line4.yaml`), "");
  isCut = false;
  await handover.remove(release("1.0.0"));
  assertEquals(await folder.listFiles("manifests"), []);
});

Deno.test("FolderHandover.place() is an absolute path without symbolic links", async () => {
  await using folder = await TestFolder.create();
  const handover = new FolderHandover(`${folder.path}/manifests/../manifests`);
  await handover.prepare();
  assertEquals(await handover.place(), { manifestsDir: await Deno.realPath(`${folder.path}/manifests`) });
});
