import type { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import {
  createKeyPair,
  formatPublicKey,
  parsePrivateKey,
  parsePublicDer,
  parsePublicKey,
  splitPem,
} from "../../../lib/signature/keys.ts";
import { assertEquals, assertRejects, assertThrows } from "../../support/assert.ts";
import { UsageError } from "../../../lib/oci/error.ts";

const pair = createKeyPair();
const ecPair = createKeyPair("p256");
const rsa = generateKeyPairSync("rsa", { modulusLength: 512 });
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
const pemOf = (key: { export(options: { format: "pem"; type: "spki" }): string | Buffer }) =>
  key.export({ format: "pem", type: "spki" }).toString();
const der = Uint8Array.fromBase64(pair.publicKey.split("\n").slice(1, -2).join(""));
const asPem = (bytes: Uint8Array) => `-----BEGIN PUBLIC KEY-----\n${bytes.toBase64()}\n-----END PUBLIC KEY-----\n`;

const PUBLIC: readonly [what: string, text: string, message: string][] = [
  ["an empty file", "", "found nothing"],
  ["a private key", pair.privateKey, `expected one PEM block "PUBLIC KEY", found "PRIVATE KEY"`],
  ["two keys", pair.publicKey + ecPair.publicKey, `found "PUBLIC KEY", "PUBLIC KEY"`],
  ["a key that is cut off", pair.publicKey.slice(0, 60), "found nothing"],
  ["text that is not Base64", "-----BEGIN PUBLIC KEY-----\n???\n-----END PUBLIC KEY-----\n", "not a public key"],
  ["a key of 512 bits", pemOf(rsa.publicKey), "it is a key for rsa 512; Ed25519 and ECDSA with P-256 are possible"],
  ["a key of another curve", pemOf(p384.publicKey), "Ed25519 and ECDSA with P-256 are possible"],
  ["a key with a byte missing", asPem(der.subarray(0, -1)), "not a public key"],
  ["a file of 20 KB", "x".repeat(20_000) + pair.publicKey, "found nothing"],
];
for (const [what, text, message] of PUBLIC) {
  Deno.test(`parsePublicKey() refuses ${what}`, () => {
    assertThrows(() => parsePublicKey(text, "keys/line4.pub"), UsageError, "keys/line4.pub: ");
    assertThrows(() => parsePublicKey(text, "keys/line4.pub"), UsageError, message);
  });
}

Deno.test("a public key is the same as PEM, as DER and with text around it", () => {
  for (const { publicKey } of [pair, ecPair]) {
    const key = parsePublicKey(publicKey, "k");
    assertEquals(parsePublicDer(key.der, "k").id, key.id);
    assertEquals(parsePublicKey(`a note\n${publicKey}another\n`, "k").id, key.id);
    assertEquals(parsePublicKey(formatPublicKey(key), "k").id, key.id);
  }
  assertThrows(() => parsePublicDer(der.subarray(1), "k"), UsageError, "not a public key");
});

// Made by openssl pkcs8 -topk8 -v2 aes-256-cbc, with the passphrase "a long one".
const ENCRYPTED = await Deno.readTextFile(new URL("../../fixtures/signature/encrypted.pem", import.meta.url));
const COSIGN = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n";
const PRIVATE: readonly [what: string, text: string, passphrase: string | undefined, message: string][] = [
  ["a public key", pair.publicKey, undefined, `found "PUBLIC KEY"`],
  ["a key with a passphrase, without it", ENCRYPTED, undefined, "has a passphrase; --passphrase-file names a file"],
  ["a wrong passphrase", ENCRYPTED, "another", "the passphrase is wrong"],
  ["an empty passphrase", ENCRYPTED, "", "the passphrase is wrong"],
  ["a key in cosign's own format", COSIGN, "x", "attach the signature with crpe sign --signature"],
  [
    "a key that is no key",
    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    undefined,
    "not a private key",
  ],
  [
    "a key of 512 bits",
    rsa.privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    undefined,
    "it is a key for rsa 512",
  ],
];
for (const [what, text, passphrase, message] of PRIVATE) {
  Deno.test(`parsePrivateKey() refuses ${what}`, async () => {
    const options = { what: "k", ...(passphrase === undefined ? {} : { passphrase: () => passphrase }) };
    await assertRejects(async () => await parsePrivateKey(text, options), UsageError, message);
  });
}

Deno.test("parsePrivateKey() reads a key with a passphrase", async () => {
  const key = await parsePrivateKey(ENCRYPTED, { what: "k", passphrase: () => "a long one" });
  assertEquals(key.algorithm, "p256");
});

Deno.test("splitPem() finds whole blocks only", () => {
  const begins = "-----BEGIN A-----\n".repeat(3000);
  assertEquals(splitPem(begins), []);
  assertEquals(splitPem(`${begins}-----END A-----`).length, 1);
  assertEquals(splitPem("-----BEGIN A-----\n-----END B-----"), []);
});
