import { listDisabledAddons, parseDisabled } from "../../../../lib/install/handover/k3s_config.ts";
import { findRivalFiles, isReservedStem, watchedFolderOf } from "../../../../lib/install/handover/manifest_folder.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";

for (
  const [name, isRival] of Object.entries({
    "web.yml": true,
    "web.json": true,
    "web.YAML": true,
    "web.extra.yaml": true,
    "web.a.b.json": true,
    "apps/web.yaml": true,
    "apps/deep/er/web.yml": true,
    ".hidden/web.yaml": true,
    ".web.yaml": false,
    ".web.yaml.tmp": false,
    "web.yaml": false,
    "web": false,
    "web.txt": false,
    "web.yaml.bak": false,
    "web-a.yaml": false,
    "aweb.yaml": false,
    "other.web.yaml": false,
    "web/other.yaml": false,
  })
) {
  Deno.test(`[77] ${name} is ${isRival ? "" : "not "}taken for the Addon of web.yaml`, async () => {
    await using folder = await TestFolder.create();
    await folder.write(name, "");
    const found = await findRivalFiles(folder.path, `${folder.path}/web.yaml`);
    assertEquals(found, { sameStem: isRival ? [name] : [], skips: [] });
  });
}

for (
  const [name, isSkip] of Object.entries({ "web.yaml.skip": true, "apps/web.yaml.skip": true, "web.yml.skip": false })
) {
  Deno.test(`[77] k3s ${isSkip ? "ignores" : "reads"} web.yaml beside ${name}`, async () => {
    await using folder = await TestFolder.create();
    await folder.write(name, "");
    const found = await findRivalFiles(folder.path, `${folder.path}/web.yaml`);
    assertEquals(found, { sameStem: [], skips: isSkip ? [name] : [] });
  });
}

Deno.test("[77] findRivalFiles() follows a link to a folder, but none below it, and no loop", async () => {
  await using folder = await TestFolder.create();
  await using outside = await TestFolder.create();
  await outside.write("web.yml", "");
  await Deno.symlink(outside.path, `${outside.path}/again`);
  await Deno.symlink(outside.path, `${folder.path}/linked`);
  await Deno.symlink(`${outside.path}/web.yml`, `${folder.path}/web.json`);
  await Deno.symlink("/nonexistent", `${folder.path}/dangling`);
  const { sameStem } = await findRivalFiles(folder.path, `${folder.path}/web.yaml`);
  assertEquals(sameStem, ["linked/web.yml", "web.json"]);
});

Deno.test("findRivalFiles() gives up in a folder with more files than a manifest folder has", async () => {
  await using folder = await TestFolder.create();
  for (let i = 0; i < 4; i++) await folder.write(`${i}`, "");
  assertEquals((await findRivalFiles(folder.path, `${folder.path}/web.yaml`, 4)).sameStem, []);
  await assertRejects(() => findRivalFiles(folder.path, `${folder.path}/web.yaml`, 3), Error, "more than 3 files");
});

Deno.test("watchedFolderOf() is the folder of k3s for a folder in it", () => {
  for (
    const [folder, watched] of [
      ["/var/lib/rancher/k3s/server/manifests", "/var/lib/rancher/k3s/server/manifests"],
      ["/data/k3s/server/manifests/apps/more", "/data/k3s/server/manifests"],
      ["/server/manifestsof/apps", "/server/manifestsof/apps"],
      ["/manifests", "/manifests"],
    ]
  ) {
    assertEquals(watchedFolderOf(folder!), watched);
  }
});

Deno.test("[77] the names of k3s's own files are reserved", () => {
  for (const stem of ["coredns", "traefik", "ccm", "local-storage", "metrics-server", "rolebindings", "runtimes"]) {
    assertEquals(isReservedStem(stem), true);
  }
  for (const stem of ["web", "coredns-custom", "CoreDNS", ""]) assertEquals(isReservedStem(stem), false);
});

for (
  const [criterion, texts, expected] of [
    ["a list", ["disable:\n  - traefik\n  - servicelb\n"], ["traefik", "servicelb"]],
    ["a list in one line", ["disable: [traefik, 'web']"], ["traefik", "web"]],
    ["names separated by commas", ["disable: traefik,web , x"], ["traefik", "web", "x"]],
    ["commas in a list", ['disable:\n- "a,b"\n- c'], ["a", "b", "c"]],
    ["JSON", ['{"disable":["web"],"node-name":"n"}'], ["web"]],
    ["anchors and merge keys", ["x: &x {disable: [web]}\n<<: *x\n"], ["web"]],
    ["a later file replaces", ["disable: [a]", "disable: [b]"], ["b"]],
    ["a later file adds with +", ["disable: [a]", "disable+: [b]", "disable+: c"], ["a", "b", "c"]],
    ["+ comes first", ["disable+: [b]"], ["b"]],
    ["an empty list takes all back", ["disable: [a]", "disable: []"], []],
    ["the first document counts", ["disable: [a]\n---\ndisable: [b]\n"], ["a"]],
    ["another key", ["disable-helm-controller: true"], []],
    ["no YAML", ["disable: [a", "disable: [b]"], ["b"]],
    ["no mapping", ["- disable", "", "5"], []],
    ["no text", ["disable: [1, true, null, {a: b}, web]"], ["web"]],
  ] as const
) {
  Deno.test(`[77] parseDisabled(): ${criterion}`, () => assertEquals(parseDisabled(texts), [...expected]));
}

Deno.test("[77] listDisabledAddons() reads config.yaml and config.yaml.d of k3s and RKE2", async () => {
  await using folder = await TestFolder.create();
  assertEquals(await listDisabledAddons(folder.path), []);
  await folder.write("etc/rancher/k3s/config.yaml", "disable: [web]");
  await folder.write("etc/rancher/k3s/config.yaml.d/20.yml", "disable+: [more]");
  await folder.write("etc/rancher/k3s/config.yaml.d/10.YAML", "disable+: other");
  await folder.write("etc/rancher/k3s/config.yaml.d/no.txt", "disable: [no]");
  await folder.write("etc/rancher/rke2/config.yaml", "disable: [rke2-ingress-nginx, web]");
  assertEquals(await listDisabledAddons(folder.path), ["more", "other", "rke2-ingress-nginx", "web"]);
});
