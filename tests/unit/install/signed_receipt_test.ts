import { NodeKey } from "../../../lib/install/records/node_key.ts";
import { createReceipt } from "../../../lib/install/receipts.ts";
import { signReceipt, verifyReceipt } from "../../../lib/install/signed_receipt.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { CorruptError, UntrustedError } from "../../../lib/oci/error.ts";
import { createKeyPair, parsePrivateKey, type PublicKey } from "../../../lib/signature/keys.ts";
import { assertEquals, assertRejects, assertThrows } from "../../support/assert.ts";
import { makeKubePkg } from "../../support/kubepkg.ts";
import { TestFolder } from "../../support/test_folder.ts";

const KEY = await parsePrivateKey(createKeyPair().privateKey, { what: "the key" });
const OTHER = await parsePrivateKey(createKeyPair("p256").privateKey, { what: "the other key" });
const DIGEST = `sha256:${"a".repeat(64)}` as const;
const RECEIPT = signReceipt(
  createReceipt(parseKubePkg(makeKubePkg({ "registry.test/app:1": DIGEST })), {
    node: "gate-2",
    repaired: false,
    time: 0,
    trust: { state: "trusted", keys: [{ id: "abc" }] },
  }),
  KEY,
);
const { images: _, digests: { length: count }, ...SHORT } = { ...RECEIPT };
const [ID, SIGNATURE, DER] = RECEIPT.signature!.split(" ");

Deno.test("[106] a receipt is verified whole, as the text of a QR code, and as a record of the data folder", () => {
  const read = (document: unknown, publicKey?: PublicKey) => {
    const copy = JSON.parse(JSON.stringify(document, undefined, 2));
    const { fields, keyId, isWhole } = verifyReceipt(copy, { what: "it", publicKey });
    return [fields.version, fields.trust, keyId === KEY.public.id, isWhole];
  };
  assertEquals(read(RECEIPT), ["1.0.0", "trusted", true, true]);
  assertEquals(read({ ...SHORT, count }, KEY.public), ["1.0.0", "trusted", true, false]);
  assertEquals(read({ checksum: DIGEST, recordVersion: 1, ...RECEIPT }, KEY.public), ["1.0.0", "trusted", true, true]);
  assertEquals(read({ ...RECEIPT, signature: `${ID} ${SIGNATURE}` }, KEY.public)[2], true);
});

const CHANGED:
  readonly (readonly [name: string, document: unknown, error: typeof CorruptError | typeof UntrustedError])[] = [
    ["no receipt", [], CorruptError],
    ["an inventory", { digests: [] }, CorruptError],
    ["another version", { ...RECEIPT, version: "1.0.1" }, CorruptError],
    ["another node", { ...SHORT, node: "gate-3" }, CorruptError],
    ["another verdict", { ...RECEIPT, trust: "unsigned" }, CorruptError],
    ["no verdict", { ...RECEIPT, trust: undefined }, CorruptError],
    ["another time", { ...RECEIPT, imported: new Date(1).toISOString() }, CorruptError],
    ["a digest more", { ...RECEIPT, digests: [...RECEIPT.digests, DIGEST] }, CorruptError],
    ["a digest that is none", { ...RECEIPT, digests: ["x"] }, CorruptError],
    ["no images", { ...RECEIPT, images: [] }, CorruptError],
    ["an image of another name", { ...RECEIPT, images: [{ reference: "a:1", digest: DIGEST }] }, CorruptError],
    ["images that are none", { ...RECEIPT, images: null }, CorruptError],
    ["no signature", { ...RECEIPT, signature: undefined }, UntrustedError],
    ["a signature that is none", { ...RECEIPT, signature: "x" }, CorruptError],
    ["a signature that is no text", { ...RECEIPT, signature: 1 }, CorruptError],
    ["a signature cut short", { ...RECEIPT, signature: `${ID} ${SIGNATURE!.slice(0, 40)} ${DER}` }, CorruptError],
    ["two signatures", { ...RECEIPT, signature: `${RECEIPT.signature}\n${RECEIPT.signature}` }, CorruptError],
    ["the signature of another key", signReceipt(RECEIPT, OTHER), UntrustedError],
    ["the id of another key", { ...RECEIPT, signature: `${OTHER.public.id} ${SIGNATURE}` }, UntrustedError],
  ];

for (const [name, document, error] of CHANGED) {
  Deno.test(`[106] a receipt with ${name} is refused`, () => {
    assertThrows(() => verifyReceipt(document, { what: "it", publicKey: KEY.public }), error, "it");
  });
}

Deno.test("[106] a receipt of which only the id of the key is known needs the key", () => {
  const document = { ...RECEIPT, signature: `${ID} ${SIGNATURE}` };
  assertThrows(() => verifyReceipt(document, { what: "it" }), UntrustedError, "name the public key");
});

Deno.test("[106] a node makes its key once, in a file of mode 0600, also for several processes", async () => {
  await using folder = await TestFolder.create();
  const path = `${folder.path}/kubepkg/.node-key.pem`;
  assertEquals(await new NodeKey(folder.path).read(), undefined);
  const keys = await Promise.all(Array.from({ length: 4 }, () => new NodeKey(folder.path).ensure()));
  const ids = new Set(keys.map((key) => key.public.id));
  assertEquals([ids.size, (await Deno.stat(path)).mode! & 0o777], [1, 0o600]);
  await Deno.writeTextFile(path, "damaged");
  await assertRejects(() => new NodeKey(folder.path).ensure(), CorruptError, ".node-key.pem");
});
