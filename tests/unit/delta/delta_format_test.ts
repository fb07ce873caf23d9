import {
  type DeltaHeader,
  formatDeltaHeader,
  parseDeltaHeader,
  parseDeltaPrefix,
  PREFIX_BYTES,
} from "../../../lib/delta/delta_format.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const EMPTY = { size: 0, packed: 0 };
const HEADER: DeltaHeader = {
  target: { digest: computeDigest("target"), size: 1000 },
  plainSize: 5000,
  bases: [{ digest: computeDigest("base"), size: 900, plainSize: 4000, plainDigest: computeDigest("plain") }],
  model: { id: "go6", version: 1, parameters: "06" },
  sections: {
    inserts: { size: 10, packed: 20 },
    copies: { size: 10, packed: 20 },
    jumps: { size: 10, packed: 20 },
    literals: { size: 500, packed: 300 },
    differences: EMPTY,
    tokens: { size: 5, packed: 14 },
    blocks: EMPTY,
    headers: EMPTY,
    members: { size: 30, packed: 40 },
  },
  inner: undefined,
  copied: { size: 12, packed: 9 },
};
const PACKED = 423;

function parse(header: unknown, more = 0): DeltaHeader {
  const bytes = formatDeltaHeader(header as DeltaHeader);
  const length = parseDeltaPrefix(bytes.subarray(0, PREFIX_BYTES));
  return parseDeltaHeader(bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + length), bytes.length + PACKED + more);
}

const section = (name: string, value: unknown) => ({ ...HEADER, sections: { ...HEADER.sections, [name]: value } });

Deno.test("a delta's header is read as it was written", () => assertEquals(parse(HEADER), HEADER));

const WRONG: Readonly<Record<string, unknown>> = {
  "a target that is no digest": { ...HEADER, target: { digest: "sha256:1", size: 1 } },
  "a size that is no number": { ...HEADER, target: { ...HEADER.target, size: "1000" } },
  "a negative size": { ...HEADER, plainSize: -1 },
  "a fraction": { ...HEADER, plainSize: 1.5 },
  "a size above 2^53": { ...HEADER, plainSize: 1e300 },
  "more plain bytes than gzip can hold": { ...HEADER, plainSize: 1_032_001 },
  "no bases": { ...HEADER, bases: [] },
  "too many bases": { ...HEADER, bases: Array(129).fill(HEADER.bases[0]) },
  "bases that are too large": { ...HEADER, bases: [{ ...HEADER.bases[0], plainSize: 2 ** 50 }] },
  "a base without plain digest": { ...HEADER, bases: [{ ...HEADER.bases[0], plainDigest: undefined }] },
  "a model with a strange name": { ...HEADER, model: { ...HEADER.model, id: "../go6" } },
  "parameters that are too long": { ...HEADER, model: { ...HEADER.model, parameters: "00".repeat(65) } },
  "parameters that are not hexadecimal": { ...HEADER, model: { ...HEADER.model, parameters: "0" } },
  "a missing section": section("members", undefined),
  "copied tokens without a size": { ...HEADER, copied: { packed: 9 } },
  "copied tokens of another size": { ...HEADER, copied: { size: 12, packed: 8 } },
  "too many copied tokens": { ...HEADER, copied: { size: 2 ** 25, packed: 9 } },
  "more literals than plain bytes": section("literals", { size: 5001, packed: 300 }),
  "more differences than plain bytes": section("differences", { size: 4501, packed: 0 }),
  "too many operations": section("jumps", { size: 40_001, packed: 20 }),
  "corrections that do not fit into memory": section("tokens", { size: 2 ** 40, packed: 14 }),
  "an empty section with bytes": section("blocks", { size: 0, packed: 4 }),
  "a section of no bytes that is not empty": section("blocks", { size: 4, packed: 0 }),
  "sections of another size than the file": section("literals", { size: 500, packed: 299 }),
};

for (const [title, header] of Object.entries(WRONG)) {
  Deno.test(`[99] a delta with ${title} is refused`, () => {
    assertThrows(() => parse(header), CorruptError, "Cannot apply the delta: ");
  });
}

Deno.test("[99] a delta that is longer or shorter than its header says is refused", () => {
  for (const more of [-1, 1]) assertThrows(() => parse(HEADER, more), CorruptError, "its header says 423");
});

Deno.test("[99] a file that does not begin like a delta of this version is refused", () => {
  const bytes = formatDeltaHeader(HEADER).slice(0, PREFIX_BYTES);
  const change = (at: number, value: number) => bytes.map((byte, i) => i === at ? value : byte);
  assertThrows(() => parseDeltaPrefix(bytes.subarray(1)), CorruptError, "does not begin like a delta");
  assertThrows(() => parseDeltaPrefix(change(0, 0x1f)), CorruptError, "does not begin like a delta");
  assertThrows(() => parseDeltaPrefix(change(7, 2)), CorruptError, "its format has version 2, this crpe knows 1");
  assertThrows(() => parseDeltaPrefix(change(11, 255)), CorruptError, "65536 are allowed");
});
