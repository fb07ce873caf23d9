import { createKeyPair, parsePrivateKey, type PrivateKey } from "../../../lib/signature/keys.ts";
import { parseTrustedPem, parseTrustEntries } from "../../../lib/signature/parse_trust.ts";
import { signDocument } from "../../../lib/signature/signature_lines.ts";
import { TrustPolicy } from "../../../lib/signature/trust_policy.ts";
import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "../../support/assert.ts";
import { UsageError } from "../../../lib/oci/error.ts";

const document = new TextEncoder().encode(`{"kind":"KubePkg"}`);
const pairs = [createKeyPair(), createKeyPair("p256"), createKeyPair()];
const [a, b, c] = await Promise.all(
  pairs.map(({ privateKey }) => parsePrivateKey(privateKey, { what: "k" })),
) as [PrivateKey, PrivateKey, PrivateKey];
const [A, B, C] = pairs.map(({ publicKey }) => publicKey) as [string, string, string];
const now = () => new Date("2026-06-01T12:00:00Z");
const EARLY = () => new Date("1970-01-01T00:10:00Z");

async function judge(
  entries: unknown,
  { name = "line4", signers = [a], bytes = document, created, clock = now }: {
    name?: string;
    signers?: readonly PrivateKey[];
    bytes?: Uint8Array;
    created?: string;
    clock?: () => Date;
  },
): Promise<string> {
  const readKey = (path: string) => Promise.resolve({ "a.pub": A, "b.pub": B }[path] ?? "");
  const policy = new TrustPolicy(await parseTrustEntries(entries, { what: "policy.yaml", readKey }), clock);
  const signatures = signers.map((key) => signDocument(document, key));
  const subject = { name, created: created === undefined ? undefined : new Date(created) };
  const verdict = policy.judge({ bytes, signatures }, subject);
  return typeof verdict === "string" ? verdict : `trusted by ${verdict.keys.map(({ id }) => nameOf(id)).join("")}`;
}

const nameOf = (id: string) => "abc"[[a, b, c].findIndex((key) => key.public.id === id)];

const CASES: readonly [what: string, entries: unknown, subject: Parameters<typeof judge>[1], expected: string][] = [
  ["a signature by the key", [{ keys: [A] }], {}, "trusted by a"],
  ["a key in a file", [{ keys: "a.pub" }], {}, "trusted by a"],
  ["no signature", [{ keys: [A] }], { signers: [] }, "it is not signed, and must be by key"],
  ["a foreign signature", [{ keys: [A] }], { signers: [c] }, "it is signed by"],
  ["one of two keys", [{ keys: [A, B] }], { signers: [b] }, "trusted by b"],
  ["a foreign signature beside", [{ keys: [A] }], { signers: [c, a] }, "trusted by a"],
  ["one byte changed", [{ keys: [A] }], { bytes: document.map((it, i) => i === 5 ? it ^ 1 : it) }, "is wrong"],
  ["an empty document", [{ keys: [A] }], { bytes: new Uint8Array() }, "is wrong"],
  ["a threshold that is met", [{ keys: [A, B], threshold: 2 }], { signers: [b, a] }, "trusted by ab"],
  ["a threshold that is not met", [{ keys: [A, B], threshold: 2 }], {}, "2 keys of entry 1"],
  ["a key twice does not meet a threshold", [{ keys: [A, B], threshold: 2 }], { signers: [a, a] }, "2 keys of"],
  ["the name of a package", [{ keys: A, packages: ["line4"] }], {}, "trusted by a"],
  ["another package", [{ keys: A, packages: "hmi" }], {}, "no trusted key is for packages of this name"],
  ["a pattern", [{ keys: A, packages: ["hmi-*", "line*"] }], {}, "trusted by a"],
  ["a pattern in the middle", [{ keys: A, packages: ["l*4"] }], {}, "trusted by a"],
  ["a pattern that overlaps itself", [{ keys: A, packages: ["line4*4"] }], {}, "no trusted key"],
  ["a pattern is not a regular expression", [{ keys: A, packages: ["l.ne4"] }], {}, "no trusted key"],
  ["a star alone", [{ keys: A, packages: ["*"] }], {}, "trusted by a"],
  ["an entry for another package does not count", [{ keys: A, packages: "hmi" }, { keys: B }], {}, "must be by key"],
  ["an entry that has not ended", [{ keys: A, "not-after": "2026-06-01" }], {}, "trusted by a"],
  [
    "an entry that has ended",
    [{ keys: A, "not-after": "2026-05-31" }],
    {},
    "have ended: entry 1 of policy.yaml on 2026",
  ],
  ["a date of YAML", [{ keys: A, "not-after": new Date("2026-06-01") }], {}, "trusted by a"],
  ["a time", [{ keys: A, "not-after": "2026-06-01T11:59:59Z" }], {}, "have ended"],
  [
    "a wrong clock: the date of the release counts",
    [{ keys: A, "not-after": "2026-05-31" }],
    { clock: EARLY, created: "2026-06-01" },
    "have ended",
  ],
  [
    "a wrong clock, and a release from before the end",
    [{ keys: A, "not-after": "2026-05-31" }],
    { clock: EARLY, created: "2026-05-01" },
    "trusted by a",
  ],
  [
    "a release from before the end does not outlive the key",
    [{ keys: A, "not-after": "2026-05-31" }],
    { created: "2026-05-01" },
    "have ended",
  ],
  ["of two entries, the second", [{ keys: B }, { keys: A }], {}, "trusted by a"],
];
for (const [what, entries, subject, expected] of CASES) {
  Deno.test(`TrustPolicy: ${what}`, async () => assertStringIncludes(await judge(entries, subject), expected));
}

Deno.test("a refusal names the keys that would do", async () => {
  const reason = await judge([{ name: "desk", keys: [A] }], { signers: [] });
  assertEquals(reason, `it is not signed, and must be by key ${a.public.id} (desk)`);
});

const WRONG: readonly [what: string, entries: unknown, message: string][] = [
  ["no list", { keys: A }, "it must be a list of entries with keys"],
  ["an empty list", [], "it must be a list"],
  ["an entry without keys", [{ packages: ["a"] }], "0.keys"],
  ["no keys", [{ keys: [] }], "0.keys"],
  ["an unknown field", [{ keys: A, expires: "2027" }], "0.expires"],
  ["a threshold above the keys", [{ keys: A, threshold: 2 }], "requires 2 signatures and has 1 keys"],
  ["the same key twice for a threshold", [{ keys: [A, A], threshold: 2 }], "has 1 keys"],
  ["an empty list of packages", [{ keys: A, packages: [] }], "0.packages: must not be empty"],
  ["keys that are a number", [{ keys: 4 }], "0.keys: must be a text or a list of texts"],
  ["half a threshold", [{ keys: A, threshold: 0.5 }], "0.threshold: must be a whole number from 1 to 32"],
  ["an end that is a list", [{ keys: A, "not-after": [] }], "0.not-after: must be a date"],
  ["a threshold of 0", [{ keys: A, threshold: 0 }], "0.threshold"],
  ["a date that is none", [{ keys: A, "not-after": "soon" }], "not-after must be a date"],
  ["a file that is no key", [{ keys: "c.pub" }], "it has no public key"],
];
for (const [what, entries, message] of WRONG) {
  Deno.test(`parseTrustEntries() refuses ${what}`, async () => {
    await assertRejects(async () => await judge(entries, {}), UsageError, message);
  });
}

Deno.test("parseTrustedPem() reads several keys, and refuses a private one", () => {
  assertEquals(parseTrustedPem(`# of the desk\n${A}${B}`, "k").map(({ keys }) => nameOf(keys[0]!.id)), ["a", "b"]);
  assertThrows(() => parseTrustedPem(A + pairs[2]!.privateKey, "k"), UsageError, "PRIVATE KEY");
  assertThrows(() => parseTrustedPem("hello", "k"), UsageError, "it has no public key");
  assertEquals(typeof C, "string");
});
