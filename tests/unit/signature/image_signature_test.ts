import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { signDetached } from "../../../lib/signature/detached_signature.ts";
import { isSignatureLayer, verifyImageSignature } from "../../../lib/signature/image_signature.ts";
import { type Algorithm, createKeyPair, parsePrivateKey, type PrivateKey } from "../../../lib/signature/keys.ts";
import { assertEquals } from "../../support/assert.ts";

const IMAGE = computeDigest("an image");
const OTHER = computeDigest("another image");
const createKey = async (algorithm: Algorithm) => {
  return await parsePrivateKey(createKeyPair(algorithm).privateKey, { what: "key" });
};
const KEYS: Readonly<Record<Algorithm, PrivateKey>> = {
  ed25519: await createKey("ed25519"),
  p256: await createKey("p256"),
};
const encode = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const describe = (mediaType: string, bytes: Uint8Array, annotations: Record<string, string> = {}) => ({
  layer: { mediaType, digest: computeDigest(bytes), size: bytes.length, annotations },
  bytes,
});

function signSimple(key: PrivateKey, digest: string, change: (payload: Uint8Array) => Uint8Array = (it) => it) {
  const bytes = encode({
    critical: {
      identity: { "docker-reference": "registry.test/app" },
      image: { "docker-manifest-digest": digest },
      type: "cosign container image signature",
    },
    optional: null,
  });
  return describe(SIMPLE, change(bytes), { "dev.cosignproject.cosign/signature": signDetached(bytes, key) });
}

function signBundle(key: PrivateKey, digest: Digest, options: { predicateType?: string; type?: string } = {}) {
  const { predicateType = "https://sigstore.dev/cosign/sign/v1", type = "application/vnd.in-toto+json" } = options;
  const [algorithm, hex] = digest.split(":") as [string, string];
  const statement = {
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ digest: { [algorithm]: hex } }],
    predicateType,
  };
  const payload = JSON.stringify(statement);
  const sig = signDetached(encode(`DSSEv1 ${type.length} ${type} ${payload.length} ${payload}`), key);
  return describe(
    BUNDLE,
    encode({ dsseEnvelope: { payload: btoa(payload), payloadType: type, signatures: [{ sig }] } }),
  );
}

for (const algorithm of ["ed25519", "p256"] as const) {
  const key = KEYS[algorithm];
  const other = KEYS[algorithm === "p256" ? "ed25519" : "p256"];
  const cases: readonly [what: string, signature: ReturnType<typeof describe>, isValid: boolean][] = [
    ["a simple signing document", signSimple(key, IMAGE), true],
    ["a Sigstore bundle", signBundle(key, IMAGE), true],
    ["a simple signing document of another image", signSimple(key, OTHER), false],
    ["a Sigstore bundle of another image", signBundle(key, OTHER), false],
    ["a simple signing document by another key", signSimple(other, IMAGE), false],
    ["a Sigstore bundle by another key", signBundle(other, IMAGE), false],
    [
      "a simple signing document that was changed",
      signSimple(key, OTHER, () => signSimple(key, IMAGE).bytes),
      false,
    ],
    ["an attestation", signBundle(key, IMAGE, { predicateType: "https://spdx.dev/Document" }), false],
    ["a payload of another type", signBundle(key, IMAGE, { type: "text/plain" }), false],
    ["a simple signing document without its signature", describe(SIMPLE, signSimple(key, IMAGE).bytes), false],
    ["garbage as simple signing document", describe(SIMPLE, encode("x")), false],
    ["garbage as bundle", describe(BUNDLE, encode("[1]")), false],
    [
      "a bundle with a payload that is not Base64",
      describe(
        BUNDLE,
        encode({ dsseEnvelope: { payload: "?", payloadType: "application/vnd.in-toto+json", signatures: [] } }),
      ),
      false,
    ],
  ];
  for (const [what, signature, isValid] of cases) {
    Deno.test(`verifyImageSignature() ${isValid ? "accepts" : "refuses"} ${what} (${algorithm})`, () => {
      assertEquals(verifyImageSignature(signature, IMAGE, [key.public]), isValid ? key.public : undefined);
      assertEquals(isSignatureLayer(signature.layer), true);
    });
  }
}

Deno.test("isSignatureLayer() leaves out other types, and what is too large", () => {
  const { layer } = signSimple(KEYS.p256, IMAGE);
  const types = [SIMPLE, BUNDLE, "application/vnd.dev.sigstore.bundle+json;version=0.2", "text/plain", `${BUNDLE}x`];
  assertEquals(types.map((mediaType) => isSignatureLayer({ ...layer, mediaType })), [true, true, true, false, false]);
  assertEquals(isSignatureLayer({ ...layer, size: 2 ** 20 + 1 }), false);
});
