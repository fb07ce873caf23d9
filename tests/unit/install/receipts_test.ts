import { PackageRecords } from "../../../lib/install/package_records.ts";
import { createReceipt } from "../../../lib/install/receipts.ts";
import { RecordError } from "../../../lib/install/records/record_file.ts";
import { repairRecord } from "../../../lib/install/repair_record.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { idOf, makeKubePkg } from "../../support/kubepkg.ts";
import { TestFolder } from "../../support/test_folder.ts";

const IMAGE: Digest = `sha256:${"a".repeat(64)}`;
const LAYER: Digest = `sha256:${"0".repeat(64)}`;

function release() {
  const kubepkg = parseKubePkg(makeKubePkg({ "registry.test/app:1": IMAGE }));
  const line = { type: "blob" as const, name: "registry.test/app", digest: LAYER, size: 1 };
  return { ...kubepkg, status: { digests: [line, line] } };
}
const RECEIPT = createReceipt(release(), { node: "gate-2", repaired: false, time: 0 });

Deno.test("createReceipt() names the release, the node, the time, the images and every digest once", () => {
  assertEquals(RECEIPT, {
    name: "line4",
    namespace: "default",
    version: "1.0.0",
    node: "gate-2",
    imported: "1970-01-01T00:00:00.000Z",
    repaired: false,
    key: null,
    images: [{ reference: "registry.test/app:1", digest: IMAGE }],
    list: computeDigest(`${LAYER}\n${IMAGE}\n`),
    digests: [LAYER, IMAGE],
  });
});

Deno.test("a receipt is read as it was written, is replaced by the next one, and goes with its package", async () => {
  await using folder = await TestFolder.create();
  const records = new PackageRecords(folder.path);
  const path = `${folder.path}/kubepkg/line4/receipt.json`;
  assertEquals(await records.receipts.read(idOf("line4")), undefined);
  await records.receipts.write(RECEIPT);
  await records.receipts.write({ ...RECEIPT, version: "2.0.0", key: "SHA256:abc" });
  await records.write(release());
  assertEquals(await records.receipts.read(idOf("line4")), { ...RECEIPT, version: "2.0.0", key: "SHA256:abc" });
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
  await records.remove(idOf("line4"));
  assertEquals(await folder.listFiles("kubepkg"), []);
});

for (
  const [name, text] of [
    ["no JSON", "{"],
    ["no receipt", "[]"],
    ["a digest that is none", JSON.stringify({ ...RECEIPT, digests: ["sha256:1"] })],
    ["an image without its digest", JSON.stringify({ ...RECEIPT, images: [{ reference: "a" }] })],
    ["a key that is no text", JSON.stringify({ ...RECEIPT, key: 1 })],
  ] as const
) {
  Deno.test(`[92] a receipt that is ${name} is refused, and a repair moves it aside`, async () => {
    await using folder = await TestFolder.create();
    const records = new PackageRecords(folder.path);
    await folder.write("kubepkg/line4/receipt.json", text);
    await assertRejects(() => records.receipts.read(idOf("line4")), RecordError, "line4/receipt.json");
    const [problem] = await records.listProblems(idOf("line4"));
    assertEquals((await repairRecord(records, idOf("line4"), problem!)).isRepaired, true);
    assertEquals(await folder.listFiles("kubepkg"), ["line4/receipt.json.broken"]);
  });
}
