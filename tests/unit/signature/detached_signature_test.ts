import { signDetached, verifyDetached } from "../../../lib/signature/detached_signature.ts";
import {
  type Algorithm,
  ALGORITHMS,
  createKeyPair,
  parsePrivateKey,
  parsePublicKey,
} from "../../../lib/signature/keys.ts";
import { assert, assertEquals } from "../../support/assert.ts";

const message = new TextEncoder().encode("the checksums of a release\n");
const what = "the key";

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
  const key = await parsePrivateKey(pem("PRIVATE KEY", KNOWN.privateKey), { what });
  const publicKey = parsePublicKey(pem("PUBLIC KEY", KNOWN.publicKey), what);
  const signed = signDetached(Uint8Array.of(0x72), key);
  assertEquals(Uint8Array.fromBase64(signed).toHex(), KNOWN.signature);
  assert(verifyDetached(Uint8Array.of(0x72), signed, publicKey));
  assertEquals(key.public.id, publicKey.id);
});

async function makeKey(algorithm: Algorithm) {
  const pair = createKeyPair(algorithm);
  return { signing: await parsePrivateKey(pair.privateKey, { what }), verifying: parsePublicKey(pair.publicKey, what) };
}

for (const algorithm of ALGORITHMS) {
  const { signing, verifying } = await makeKey(algorithm);
  const other = await makeKey(algorithm);
  const foreign = await makeKey(algorithm === "p256" ? "ed25519" : "p256");
  const signature = signDetached(message, signing);
  const middle = signature.length >> 1;

  Deno.test(`both keys of a pair for ${algorithm} have the same id, and another pair has another one`, () => {
    assertEquals(signing.public.id, verifying.id);
    assertEquals(verifying.algorithm, algorithm);
    assert(/^[0-9a-f]{64}$/.test(verifying.id));
    assert(other.verifying.id !== verifying.id);
  });

  const SIGNATURES: readonly [title: string, isValid: boolean, signature: string, bytes?: Uint8Array<ArrayBuffer>][] = [
    ["accepts the signature", true, signature],
    ["accepts a line end behind it", true, `${signature}\n`],
    ["refuses another message", false, signature, message.slice(0, -1)],
    ["refuses an empty message", false, signature, new Uint8Array()],
    ["refuses an empty signature", false, ""],
    ["refuses a signature that is cut short", false, signature.slice(0, 40)],
    [
      "refuses a changed signature",
      false,
      signature.slice(0, middle) + (signature[middle] === "A" ? "B" : "A") + signature.slice(middle + 1),
    ],
    ["refuses two signatures", false, signature + signature],
    ["refuses a megabyte", false, "A".repeat(1_000_000)],
    ["refuses text that is not Base64", false, "a signature?"],
    ["refuses a signature of another key", false, signDetached(message, other.signing)],
    ["refuses a signature of another algorithm", false, signDetached(message, foreign.signing)],
    ["refuses zeros", false, new Uint8Array(algorithm === "p256" ? 70 : 64).toBase64()],
  ];
  for (const [title, isValid, given, bytes = message] of SIGNATURES) {
    Deno.test(`verifyDetached() with ${algorithm} ${title}`, () => {
      assertEquals(verifyDetached(bytes, given, verifying), isValid);
    });
  }
}
