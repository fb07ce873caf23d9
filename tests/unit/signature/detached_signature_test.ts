import { signDetached, verifyDetached } from "../../../lib/signature/detached_signature.ts";
import { createKeyPair, parsePrivateKey, parsePublicKey } from "../../../lib/signature/keys.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";

const encoder = new TextEncoder();
const pair = createKeyPair();
const other = createKeyPair();
const signing = await parsePrivateKey(pair.privateKey, "the key");
const verifying = parsePublicKey(pair.publicKey, "the key");
const message = encoder.encode("the checksums of a release\n");
const signature = signDetached(message, signing);

// RFC 8032 section 7.1, test 2: the private key in its DER form (RFC 8410 section 10.3), message 0x72.
const KNOWN = {
  privateKey: "302e020100300506032b657004220420" + "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
  publicKey: "302a300506032b6570032100" + "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
  signature: "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
};
const pem = (label: string, hex: string) => {
  return `-----BEGIN ${label}-----\n${Uint8Array.fromHex(hex).toBase64()}\n-----END ${label}-----\n`;
};

Deno.test("signDetached() gives the signature of RFC 8032, and verifyDetached() accepts it", async () => {
  const key = await parsePrivateKey(pem("PRIVATE KEY", KNOWN.privateKey), "the key");
  const publicKey = parsePublicKey(pem("PUBLIC KEY", KNOWN.publicKey), "the key");
  const signed = signDetached(Uint8Array.of(0x72), key);
  assertEquals(Uint8Array.fromBase64(signed).toHex(), KNOWN.signature);
  assert(verifyDetached(Uint8Array.of(0x72), signed, publicKey));
  assertEquals(key.id, publicKey.id);
});

Deno.test("both keys of a pair have the same id, and another pair has another one", async () => {
  assertEquals(signing.id, verifying.id);
  assert(/^[0-9a-f]{64}$/.test(signing.id));
  assert((parsePublicKey(other.publicKey, "the other key")).id !== signing.id);
});

const SIGNATURES: readonly [what: string, isValid: boolean, signature: string, bytes?: Uint8Array<ArrayBuffer>][] = [
  ["accepts the signature", true, signature],
  ["accepts a line end behind it", true, `${signature}\n`],
  ["refuses another message", false, signature, encoder.encode("the checksums of a release")],
  ["refuses an empty message", false, signature, new Uint8Array()],
  ["refuses an empty signature", false, ""],
  ["refuses a signature that is cut short", false, signature.slice(0, 40)],
  ["refuses a changed signature", false, (signature[0] === "A" ? "B" : "A") + signature.slice(1)],
  ["refuses two signatures", false, signature + signature],
  ["refuses text that is not Base64", false, "a signature?"],
  [
    "refuses a signature of another key",
    false,
    signDetached(message, await parsePrivateKey(other.privateKey, "")),
  ],
];
for (const [what, isValid, given, bytes = message] of SIGNATURES) {
  Deno.test(`verifyDetached() ${what}`, async () => assertEquals(verifyDetached(bytes, given, verifying), isValid));
}

const rsa = await crypto.subtle.generateKey(
  { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash: "SHA-256" },
  true,
  ["sign", "verify"],
) as CryptoKeyPair;
const rsaPem = pem("PUBLIC KEY", new Uint8Array(await crypto.subtle.exportKey("spki", rsa.publicKey)).toHex());
const KEYS: readonly [what: string, text: string, message: string][] = [
  ["an empty file", "", `expected one PEM block "PUBLIC KEY", found nothing`],
  ["a private key", pair.privateKey, `found "PRIVATE KEY"`],
  ["two keys", pair.publicKey + other.publicKey, `found "PUBLIC KEY", "PUBLIC KEY"`],
  ["a key that is cut off", pair.publicKey.slice(0, 60), "found nothing"],
  ["text that is not Base64", "-----BEGIN PUBLIC KEY-----\n???\n-----END PUBLIC KEY-----\n", "not Base64"],
  ["a key of another algorithm", rsaPem, "not an Ed25519 key"],
  ["a key with a byte missing", pem("PUBLIC KEY", KNOWN.publicKey.slice(0, -2)), "not an Ed25519 key"],
  ["a file of 20 KB", "x".repeat(20_000) + pair.publicKey, "found nothing"],
];
for (const [what, text, expected] of KEYS) {
  Deno.test(`parsePublicKey() refuses ${what}`, async () => {
    await assertRejects(() => parsePublicKey(text, "keys/line4.pub"), TypeError, "Cannot read keys/line4.pub: ");
    await assertRejects(() => parsePublicKey(text, "keys/line4.pub"), TypeError, expected);
  });
}

Deno.test("parsePrivateKey() refuses a public key, and a key with a passphrase by saying so", async () => {
  await assertRejects(() => parsePrivateKey(pair.publicKey, "k"), TypeError, `found "PUBLIC KEY"`);
  const encrypted = pair.privateKey.replaceAll("PRIVATE", "ENCRYPTED PRIVATE");
  await assertRejects(() => parsePrivateKey(encrypted, "k"), TypeError, "has a passphrase");
});
