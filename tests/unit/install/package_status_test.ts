import { K3sAddons } from "../../../lib/install/handover/k3s_addons.ts";
import { type PackageStatus, readPackageStatus, waitForPackage } from "../../../lib/install/package_status.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { FolderSite, makeObject, makeRelease, THINGS } from "../../support/cluster/folder_site.ts";
import { idOf } from "../../support/kubepkg.ts";

const ONE = makeRelease([makeObject("ConfigMap/a"), makeObject("Deployment/w")], { version: "1.0.0" });
const TWO = makeRelease([makeObject("ConfigMap/b"), makeObject("Deployment/w")], { version: "2.0.0" });

const statusOf = (site: FolderSite, kubepkg = ONE) => readPackageStatus(kubepkg, site);
const stateOf = async (site: FolderSite, kubepkg = ONE) => (await statusOf(site, kubepkg)).state;

Deno.test("[78] readPackageStatus() of a folder: pending, applied, failed with the event's words, applied again", async () => {
  await using site = await FolderSite.create();
  await site.install(ONE, { isPolled: false });
  assertEquals(await statusOf(site), {
    name: "web",
    namespace: "default",
    version: "1.0.0",
    handedOver: "1.0.0",
    where: `${await Deno.realPath(site.manifests)}/web.yaml`,
    state: "pending",
    isRetried: undefined,
    isRemoving: false,
    present: [],
    missing: ["ConfigMap/default/a", "Deployment/default/w"],
  });
  await site.poll();
  const { state, present, missing } = await statusOf(site);
  assertEquals([state, present, missing], ["applied", ["ConfigMap/default/a", "Deployment/default/w"], []]);

  site.controller.refuse = ({ kind }) => kind === "Deployment" ? "the field is immutable" : undefined;
  await site.install(TWO);
  const failed = await statusOf(site, TWO);
  assertEquals([failed.state, failed.isRetried], ["failed", true]);
  assertStringIncludes(
    failed.reason ?? "",
    'web.yaml" failed: failed to create Deployment/default/w: the field is immutable',
  );

  site.controller.refuse = () => undefined;
  await site.poll();
  assertEquals(await stateOf(site, TWO), "applied");
});

Deno.test("[78] readPackageStatus() names objects that were deleted in the cluster since", async () => {
  await using site = await FolderSite.create();
  await site.install(ONE);
  site.server.delete("ConfigMap/default/a");
  const { state, missing } = await statusOf(site);
  assertEquals([state, missing], ["applied", ["ConfigMap/default/a"]]);
});

Deno.test("[78] readPackageStatus() of a folder is unknown where kubectl reaches no cluster, or another one", async () => {
  await using site = await FolderSite.create();
  await site.install(ONE);
  site.cluster.isReachable = false;
  const { state, reason, present } = await statusOf(site);
  assertEquals([state, reason, present], [
    "unknown",
    "kubectl does not reach the cluster that reads the file",
    undefined,
  ]);
  site.cluster.isReachable = true;
  site.server.put({
    apiVersion: "k3s.cattle.io/v1",
    kind: "Addon",
    metadata: { name: "web", namespace: "kube-system" },
    spec: { source: "/var/lib/rancher/k3s/server/manifests/web.json" },
  }, "k3s");
  assertEquals(await stateOf(site), "unknown");
});

Deno.test("[78] readPackageStatus() fits a folder that has another name where k3s reads it", async () => {
  await using site = await FolderSite.create();
  await site.install(ONE);
  const addon = site.server.get("Addon/kube-system/web")!;
  site.server.put({ ...addon, spec: { ...addon.spec as object, source: "/somewhere/else/web.yaml" } }, "k3s");
  assertEquals(await stateOf(site), "applied");
});

for (
  const [criterion, damage, reason] of [
    ["was deleted", (path: string) => Deno.remove(path), "the file is missing; import the package again"],
    ["was changed by hand", (path: string) => Deno.writeTextFile(path, "# mine\n"), "the file was changed by hand"],
  ] as const
) {
  Deno.test(`[78] readPackageStatus() of a folder has failed when its file ${criterion}`, async () => {
    await using site = await FolderSite.create();
    await site.install(ONE);
    await damage(`${site.manifests}/web.yaml`);
    const status = await statusOf(site);
    assertEquals([status.state, status.isRetried], ["failed", undefined]);
    assertStringIncludes(status.reason ?? "", reason);
  });
}

Deno.test("[78] readPackageStatus() goes by the record where the folder does not exist on this machine", async () => {
  await using site = await FolderSite.create();
  await site.install(ONE);
  await Deno.rename(site.manifests, `${site.manifests}.away`);
  assertEquals(await stateOf(site), "applied");
});

Deno.test("[78] readPackageStatus() of a removal lists what is still in the cluster", async () => {
  await using site = await FolderSite.create();
  await site.install(ONE);
  site.cluster.isReachable = false;
  await site.remove("web");
  site.cluster.isReachable = true;
  site.server.put({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "default" } }, "kubectl");
  const { state, isRemoving, present, missing } = await statusOf(site);
  assertEquals([state, isRemoving, present, missing], ["applied", true, ["ConfigMap/default/a"], []]);
});

Deno.test("readPackageStatus() of a package that was not handed over, and of an interrupted hand-over", async () => {
  await using site = await FolderSite.create();
  await site.records.write(ONE);
  assertEquals(await statusOf(site), {
    name: "web",
    namespace: "default",
    version: "1.0.0",
    state: "not handed over",
    isRemoving: false,
  });
  await site.install(ONE);
  const record = (await site.records.handovers.read(idOf("web")))!;
  await site.records.handovers.write(idOf("web"), { ...record, attempted: TWO });
  const { state, reason } = await statusOf(site);
  assertEquals([state, reason], ["failed", "the hand-over of 2.0.0 was interrupted, or failed; import it again"]);
});

Deno.test("[78] readPackageStatus() of kubectl: applied, changed, missing, unknown", async () => {
  await using site = await FolderSite.create();
  await site.records.handovers.write(idOf("web"), { place: { kubectl: true }, kubepkg: ONE, files: [] });
  const where = "the cluster, by kubectl";
  const read = async () => {
    const { state, reason, where: place, missing } = await statusOf(site);
    assertEquals(place, where);
    return [state, reason, missing];
  };
  const labels = ["ConfigMap/default/a", "Deployment/default/w"];
  assertEquals(await read(), ["failed", "2 of 2 objects are missing", labels]);
  for (const object of ["ConfigMap/default/a", "Deployment/default/w"]) site.server.put(makeObject(object), "crpe");
  assertEquals(await read(), ["applied", undefined, []]);
  site.cluster.isEqual = false;
  assertEquals(await read(), ["applied", "some objects are not as they were handed over", []]);
  site.cluster.isReachable = false;
  assertEquals(await read(), ["unknown", "kubectl does not reach the cluster", undefined]);
});

Deno.test("[78] K3sAddons.readState() counts only failures since the file was written", async () => {
  await using site = await FolderSite.create();
  const digest = computeDigest("content");
  const path = "/manifests/web.yaml";
  const event = (number: number, reason: string, more: { lastTimestamp: string } & Record<string, unknown>) =>
    site.server.put({
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `web.${number}`, namespace: "kube-system" },
      involvedObject: { kind: "Addon", name: "web" },
      reason,
      message: `${reason} ${number}`,
      ...more,
    }, "k3s");
  const addon = (checksum: string) =>
    site.server.put({
      apiVersion: "k3s.cattle.io/v1",
      kind: "Addon",
      metadata: { name: "web", namespace: "kube-system" },
      spec: { source: path, checksum },
    }, "k3s");
  const addons = new K3sAddons(site.cluster);
  const read = (time?: string) =>
    addons.readState({ path, digest, ...(time === undefined ? {} : { writtenAt: new Date(time) }) });
  assertEquals(await read(), { state: "pending" });
  addon("of other content");
  assertEquals(await read(), { state: "pending" });
  event(1, "ApplyManifestFailed", { lastTimestamp: "2026-01-01T00:00:10Z" });
  event(2, "ApplyingManifest", { lastTimestamp: "2026-01-01T00:00:20Z" });
  assertEquals(await read("2026-01-01T00:00:10.900Z"), { state: "failed", reason: "ApplyManifestFailed 1" });
  assertEquals(await read("2026-01-01T00:00:11Z"), { state: "pending" });
  event(3, "ParseManifestFailed", {
    lastTimestamp: "2026-01-01T00:00:05Z",
    series: { lastObservedTime: "2026-01-01T00:00:30Z" },
  });
  assertEquals(await read("2026-01-01T00:00:11Z"), { state: "failed", reason: "ParseManifestFailed 3" });
  event(4, "AppliedManifest", { lastTimestamp: "2026-01-01T00:00:30Z" });
  addon(digest.slice("sha256:".length));
  assertEquals(await read("2026-01-01T00:00:11Z"), { state: "applied" });
  // After a restart k3s applies everything again.
  event(5, "ApplyManifestFailed", { lastTimestamp: "2026-01-01T00:01:00Z", message: undefined });
  assertEquals(await read("2026-01-01T00:00:11Z"), { state: "failed", reason: "k3s gives no reason" });
  assertEquals(await read(), { state: "applied" });
});

const status = (state: PackageStatus["state"], more: Partial<PackageStatus> = {}): PackageStatus => {
  return { name: "web", namespace: "default", version: "1.0.0", state, isRemoving: false, ...more };
};

for (
  const [criterion, wait, states, expected] of [
    ["once without --wait", 0, [status("pending")], ["pending", 0]],
    ["until it is applied", 60, [status("pending"), status("unknown"), status("applied")], ["applied", 2]],
    ["until the time is up", 3, [status("pending")], ["pending", 3]],
    ["until it has failed", 60, [status("pending"), status("failed")], ["failed", 1]],
    ["past a failure that k3s tries again", 60, [status("failed", { isRetried: true }), status("applied")], [
      "applied",
      1,
    ]],
    ["until a failure stays", 60, [status("failed", { isRetried: true })], ["failed", 20]],
    ["not for what is not handed over", 60, [status("not handed over")], ["not handed over", 0]],
  ] as const
) {
  Deno.test(`waitForPackage() reads ${criterion}`, async () => {
    let [now, reads] = [0, 0];
    const read = () => Promise.resolve(states[Math.min(reads++, states.length - 1)]!);
    const sleep = (milliseconds: number) => Promise.resolve(void (now += milliseconds));
    const { state } = await waitForPackage(read, { wait: wait * 1000, now: () => now, sleep });
    assertEquals([state, now / 1000], [...expected]);
  });
}

Deno.test("[78] a package with a definition and an object of its kind is applied in the second pass of k3s", async () => {
  await using site = await FolderSite.create();
  const kubepkg = makeRelease([makeObject("Thing/t"), THINGS]);
  await site.install(kubepkg);
  assertEquals([await stateOf(site, kubepkg), (await statusOf(site, kubepkg)).missing], ["applied", []]);
});
