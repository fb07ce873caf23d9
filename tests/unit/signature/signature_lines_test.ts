import { CorruptError, UntrustedError } from "../../../lib/oci/error.ts";
import { createKeyPair, parsePrivateKey, type PrivateKey } from "../../../lib/signature/keys.ts";
import {
  attachSignature,
  createSigner,
  formatSignatureLines,
  parseSignatureLines,
  signDocument,
} from "../../../lib/signature/signature_lines.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const keys: PrivateKey[] = [];
for (const algorithm of ["ed25519", "p256", "ed25519"] as const) {
  keys.push(await parsePrivateKey(createKeyPair(algorithm).privateKey, { what: "k" }));
}
const [first, second] = keys as [PrivateKey, PrivateKey];
const document = new TextEncoder().encode("{}");
const line = formatSignatureLines([signDocument(document, first)]);
const [keyId, signature, publicKey] = line.trim().split(" ");

Deno.test("parseSignatureLines() reads what formatSignatureLines() writes", () => {
  const text = createSigner(keys)(document);
  const lines = parseSignatureLines(text, "a.tgz");
  assertEquals(lines.map((it) => it.keyId), keys.map((key) => key.public.id));
  assertEquals(formatSignatureLines(lines), text);
});

Deno.test("createSigner() gives the same text for the same document, also with ECDSA", () => {
  const sign = createSigner([second]);
  assertEquals(sign(document), sign(document.slice()));
});

Deno.test("a line without a public key is a signature", () => {
  const [only] = parseSignatureLines(`${keyId} ${signature}\n`, "a.tgz");
  assertEquals(only, { keyId: keyId!, signature: signature! });
});

const WRONG: readonly [what: string, text: string, message: string][] = [
  ["nothing", "", "there are none"],
  ["blank lines", "\n\n", "there are none"],
  ["a line that is cut short", line.slice(0, 60), "line 1 is not a signature"],
  ["a line without a signature", `${keyId}\n`, "line 1 is not a signature"],
  ["a third word that is no key", `${keyId} ${signature} AAAAAAAA\n`, "the public key is not valid"],
  ["the public key of another one", `${keyId} ${signature} ${second.public.der.toBase64()}\n`, "is not that of"],
  ["four words", `${keyId} ${signature} ${publicKey} more\n`, "line 1 is not a signature"],
  ["an id in capitals", `${keyId!.toUpperCase()} ${signature}\n`, "line 1 is not a signature"],
  ["a line of Windows", `${keyId} ${signature}\r\n`, "line 1 is not a signature"],
  ["the same key twice", line + line, "is listed twice"],
  ["10,000 signatures", line.repeat(10_000), "there are 10000, 32 are allowed"],
  ["a signature of a kilobyte", `${keyId} ${"A".repeat(1024)}\n`, "line 1 is not a signature"],
];
for (const [what, text, message] of WRONG) {
  Deno.test(`parseSignatureLines() refuses ${what}`, () => {
    assertThrows(() => parseSignatureLines(text, "a.tgz"), CorruptError, message);
  });
}

Deno.test("attachSignature() accepts a signature by the key, with a line end, and no other", () => {
  const { public: key } = second;
  const good = signDocument(document, second).signature;
  assertEquals(attachSignature(document, { signature: `${good}\n`, publicKey: key }, "s").keyId, key.id);
  for (const wrong of [signature!, "", "x", good.slice(4)]) {
    assertThrows(
      () => attachSignature(document, { signature: wrong, publicKey: key }, "s"),
      UntrustedError,
      "Cannot attach s",
    );
  }
});
