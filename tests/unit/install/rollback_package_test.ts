import { handOverPackage } from "../../../lib/install/hand_over_package.ts";
import { FolderHandover } from "../../../lib/install/handover/folder_handover.ts";
import type { Handover } from "../../../lib/install/handover/handover.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import { removePackage } from "../../../lib/install/remove_package.ts";
import { listVersions, rollBackPackage } from "../../../lib/install/rollback_package.ts";
import { verifyReceipt } from "../../../lib/install/signed_receipt.ts";
import type { KubePkg } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { IncompleteError, RefusedError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { blobPath } from "../../../lib/store/layout.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { buildImage } from "../../support/images.ts";
import { idOf, makeKubePkg } from "../../support/kubepkg.ts";
import { writeImage } from "../../support/put_image.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.test/app";
const IMAGES = [1, 2].map((version) => buildImage({ files: { "version.txt": `${version}` } }));

function release(number: number, version = `${number}.0.0`): KubePkg {
  const images = { [`${REPO}:1`]: IMAGES[number - 1]!.root.digest };
  return parseKubePkg(makeKubePkg(images, { version, data: { number: `${number}` } }));
}

/** A data folder and a manifests folder in which 1.0.0 and then 2.0.0 were installed and handed over. */
async function createSite() {
  const folder = await TestFolder.create();
  const data = `${folder.path}/data`;
  const [store, records] = [new DiskStore(data), new PackageRecords(data)];
  await Deno.mkdir(`${folder.path}/manifests`);
  const handover = new FolderHandover(`${folder.path}/manifests`, {
    addons: { readState: () => Promise.resolve({ state: "applied" }), listPresent: () => Promise.resolve([]) },
  });
  for (const number of [1, 2]) {
    await writeImage(store, `${REPO}:1`, IMAGES[number - 1]!);
    await handOverPackage(release(number), { handover, records });
    await records.write(release(number));
  }
  return {
    folder,
    data,
    records,
    handover,
    rollBack: async (
      { handover: other = handover, ...options }: { to?: string; handover?: Handover; force?: boolean } = {},
    ) => {
      return await rollBackPackage(idOf("line4"), { store, records, openHandover: () => other, ...options });
    },
    remove: async (forget: DiskStore["forgetImages"] = (...given) => store.forgetImages(...given)) => {
      const failing = Object.assign(new DiskStore(data), { forgetImages: forget });
      return await removePackage(idOf("line4"), {
        records,
        store: failing,
        openHandover: () => handover,
      });
    },
    // The recorded version, and the numbers of the tagged image and of the handed-over release (0 for none).
    state: async () => {
      const digest = (await new DiskStore(data).resolve(REPO, "1"))?.digest;
      const file = await Deno.readTextFile(`${folder.path}/manifests/line4.yaml`).catch(() => undefined);
      return [
        (await records.read(idOf("line4")))?.spec.version,
        IMAGES.findIndex(({ root }) => root.digest === digest) + 1,
        Number(/number: "([12])"/.exec(file ?? "")?.[1] ?? 0),
      ];
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** A hand-over that fails before or after its work, like a power loss. */
function failing(handover: Handover, when: "before" | "after"): Handover {
  return {
    place: () => handover.place(),
    prepare: () => handover.prepare(),
    plan: (request) => handover.plan(request),
    isHandedOver: (plan) => handover.isHandedOver(plan),
    async apply(plan) {
      if (when === "after") await handover.apply(plan);
      throw new Error("the power went");
    },
  };
}

for (const when of ["before", "after"] as const) {
  Deno.test(`[26] rollBackPackage() that was interrupted ${when} the hand-over can be repeated with the same result`, async () => {
    await using site = await createSite();
    await assertRejects(() => site.rollBack({ handover: failing(site.handover, when) }), Error, "the power went");
    assertEquals(await site.state(), ["2.0.0", 1, when === "after" ? 1 : 2]);
    const { from, to } = await site.rollBack();
    assertEquals([from, to, await site.state()], ["2.0.0", "1.0.0", ["1.0.0", 1, 1]]);
    assertEquals((await site.records.listHistory(idOf("line4"))).map(({ spec }) => spec.version), ["1.0.0", "2.0.0"]);
  });
}

Deno.test("rollBackPackage() changes nothing when the node's key is damaged", async () => {
  await using site = await createSite();
  await Deno.writeTextFile(`${site.data}/kubepkg/.node-key.pem`, "damaged");
  const before = await site.state();
  await assertRejects(() => site.rollBack());
  assertEquals(await site.state(), before);
});

for (
  const [installed, to, expected] of [
    [["v5.0.0", "6.0.0"], "5.0.0", "v5.0.0"],
    [["5.0.0", "6.0.0"], "v5.0.0", "5.0.0"],
    [["v5.0.0", "5.0.0", "6.0.0"], "v5.0.0", "v5.0.0"],
    [["5.0.0", "v5.0.0", "6.0.0"], "5.0.0", "5.0.0"],
    [["5.0.0", "v6.0.0"], "6.0.0", undefined],
    [["v5.0.0", "5.0.0"], "5.0.0", undefined],
  ] as const
) {
  Deno.test(`rollBackPackage() to ${to} after ${installed} ${expected === undefined ? "does nothing" : `installs ${expected}`}`, async () => {
    await using site = await createSite();
    for (const version of installed) await site.records.write(release(1, version));
    const result = await site.rollBack({ to });
    assertEquals([result.isChanged, result.to], [expected !== undefined, expected ?? installed.at(-1)]);
  });
}

Deno.test("rollBackPackage() to a version that differs in its build is refused", async () => {
  await using site = await createSite();
  await site.records.write(release(1, "v3.0.0+k3s1"));
  await site.records.write(release(2, "4.0.0"));
  for (const to of ["3.0.0", "3.0.0+k3s2", "vv3.0.0+k3s1"]) {
    await assertRejects(() => site.rollBack({ to }), RefusedError, `Cannot roll line4 back to ${to}: it is not kept`);
  }
});

Deno.test("rollBackPackage() alternates between two versions", async () => {
  await using site = await createSite();
  for (const expected of ["1.0.0", "2.0.0", "1.0.0", "2.0.0"]) {
    assertEquals((await site.rollBack()).to, expected);
    assertEquals((await site.state())[0], expected);
    const receipt = await site.records.receipts.read(idOf("line4"));
    const { public: publicKey } = (await site.records.nodeKey.read())!;
    assertEquals(verifyReceipt({ ...receipt }, { what: "the receipt", publicKey }).fields.version, expected);
  }
});

Deno.test("rollBackPackage() refuses a version that is not in the history, and one whose content is missing", async () => {
  await using site = await createSite();
  await assertRejects(() => site.rollBack({ to: "3.0.0" }), RefusedError, "there are 2.0.0, 1.0.0");
  for (const digest of [IMAGES[0]!.root.digest, ...IMAGES[0]!.blobs.keys()]) {
    const path = `${site.data}/${blobPath(digest)}`;
    await Deno.rename(path, `${path}.away`);
    // A new store has no cached knowledge of the blob that was moved away.
    const options = { store: new DiskStore(site.data), records: site.records, openHandover: () => site.handover };
    await assertRejects(() => rollBackPackage(idOf("line4"), options), IncompleteError, digest);
    await Deno.rename(`${path}.away`, path);
  }
  assertEquals(await site.state(), ["2.0.0", 2, 2]);
  await assertRejects(
    () =>
      rollBackPackage(idOf("other"), {
        store: new DiskStore(site.data),
        records: site.records,
        openHandover: () => undefined,
      }),
    Error,
    "Cannot roll other back: it is not installed",
  );
});

Deno.test("[77] rollBackPackage() leaves a file that was changed by hand, and changes no tag; force replaces it", async () => {
  await using site = await createSite();
  await site.folder.write("manifests/line4.yaml", 'number: "2" # mine\n');
  await assertRejects(() => site.rollBack(), RefusedError, "line4.yaml was changed by hand");
  assertEquals(await site.state(), ["2.0.0", 2, 2]);
  await site.rollBack({ force: true });
  assertEquals(await site.state(), ["1.0.0", 1, 1]);
});

Deno.test("[77] rollBackPackage() keeps data that the earlier version does not have", async () => {
  await using site = await createSite();
  const base = release(1, "3.0.0");
  const claim = { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: { name: "db" } };
  const kubepkg = { ...base, spec: { ...base.spec, manifests: { ...base.spec.manifests, claim } } };
  await handOverPackage(kubepkg, { handover: site.handover, records: site.records });
  await site.records.write(kubepkg);
  const { manifests } = await site.rollBack({ to: "1.0.0" });
  assertEquals(manifests?.kept, [{ object: "PersistentVolumeClaim/default/db", reason: "data" }]);
  const text = await Deno.readTextFile(`${site.folder.path}/manifests/line4.yaml`);
  assertEquals(text.includes("kind: PersistentVolumeClaim"), true);
});

Deno.test("[92] rollBackPackage() names the broken record of another package, and goes on", async () => {
  await using site = await createSite();
  await site.folder.write("data/kubepkg/other/handover.json", "{");
  const { to, warnings } = await site.rollBack();
  assertEquals([to, warnings?.length], ["1.0.0", 1]);
  assertEquals(warnings![0]!.includes("the package other"), true);
});

Deno.test("listVersions() lists each release once, the latest first, and two releases of one version", () => {
  const [a, b, c] = [release(1), release(2), release(2, "1.0.0")];
  assertEquals(listVersions(b, [a, b, a]), [b, a]);
  assertEquals(listVersions(c, [a, b]), [c, b, a]);
  assertEquals(listVersions(a, []), [a]);
});

Deno.test("[26] removePackage() that was interrupted before it removed the record can be repeated", async () => {
  await using site = await createSite();
  await assertRejects(() => site.remove(() => Promise.reject(new Error("the power went"))), Error, "the power went");
  assertEquals(await site.state(), ["2.0.0", 2, 0]);
  await assertRejects(
    () =>
      site.remove(async (...args) => {
        await new DiskStore(site.data).forgetImages(...args);
        throw new Error("the power went");
      }),
    Error,
    "the power went",
  );
  assertEquals(await site.state(), ["2.0.0", 0, 0]);
  assertEquals((await site.remove()).untagged, []);
  assertEquals(await site.state(), [undefined, 0, 0]);
  assertEquals(await site.folder.listFiles("data/kubepkg"), []);
  await assertRejects(() => site.remove(), Error, "it is not installed");
});

Deno.test("[33] removePackage() does not change the cluster if the data folder is not writable", async () => {
  await using site = await createSite();
  const before = await site.state();
  await Deno.remove(`${site.data}/ingest`, { recursive: true });
  await Deno.writeTextFile(`${site.data}/ingest`, "a file where a folder should be");
  const { message } = await assertRejects(() => site.remove(), Error);
  assertEquals(/^Cannot remove line4: the data folder cannot be written .*; nothing was changed$/.test(message), true);
  assertEquals(await site.state(), before);
});
