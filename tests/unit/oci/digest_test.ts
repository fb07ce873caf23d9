import { computeDigest, isDigest, parseDigest, splitDigest } from "../../../lib/oci/digest.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";

// The digests of "abc", from the examples of FIPS 180-4.
const ABC_256 = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const ABC_384 = "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed" +
  "8086072ba1e7cc2358baeca134c825a7";
const ABC_512 = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" +
  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

Deno.test("computeDigest() hashes text and bytes", () => {
  assertEquals(computeDigest("abc"), ABC_256);
  assertEquals(computeDigest(new TextEncoder().encode("abc"), "sha256"), ABC_256);
  assertEquals(computeDigest("abc", "sha384"), ABC_384);
  assertEquals(computeDigest("abc", "sha512"), ABC_512);
});

for (const text of [ABC_256, ABC_384, ABC_512]) {
  Deno.test(`parseDigest() accepts a ${text.slice(0, 6)} digest`, () => {
    assert(isDigest(text));
    assertEquals(parseDigest(text), text);
    assertEquals(splitDigest(text), { algorithm: text.slice(0, 6), hex: text.slice(7) });
  });
}

const wrong: [string, string][] = [
  ["an empty string", ""],
  ["hex without an algorithm", ABC_256.slice(7)],
  ["an algorithm without hex", "sha256:"],
  ["an upper-case algorithm", ABC_256.replace("sha", "SHA")],
  ["upper-case hex", ABC_256.replace(/[a-f]/g, (c) => c.toUpperCase()).replace("shA", "sha")],
  ["one hex digit too few", ABC_256.slice(0, -1)],
  ["one hex digit too many", `${ABC_256}0`],
  ["sha512 with the length of sha256", ABC_256.replace("256", "512")],
  ["sha384 with the length of sha512", ABC_512.replace("512", "384")],
  ["sha256 with the length of sha512", ABC_512.replace("512", "256")],
  ["an unregistered algorithm", `md5:${"a".repeat(32)}`],
  ["a path [54]", `sha256:../../${"a".repeat(58)}`],
  ["a trailing line break", `${ABC_256}\n`],
  ["a leading space", ` ${ABC_256}`],
];
for (const [what, text] of wrong) {
  Deno.test(`parseDigest() rejects ${what}`, () => {
    assertEquals(isDigest(text), false);
    assertEquals(assertThrows(() => parseDigest(text), RegistryError).code, "DIGEST_INVALID");
  });
}

Deno.test("isDigest() rejects values that are not strings", () => {
  for (const value of [undefined, null, 1, {}, [ABC_256]]) assertEquals(isDigest(value), false);
});

Deno.test("parseDigest() shortens a long text in its error message", () => {
  const error = assertThrows(() => parseDigest("x".repeat(100_000)), RegistryError);
  assert(error.message.length < 400, error.message);
});
