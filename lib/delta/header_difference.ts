import { MAX_RUNS } from "./decoded_blocks.ts";
import { DISTANCE_CODES, LITERAL_CODES, RUN_CODE_ORDER } from "./deflate_tables.ts";
import type { BlockTokens, DynamicHeader, HeaderStyle } from "./models/model.ts";
import type { SectionReader, SectionWriter } from "./section_bytes.ts";
import { cannot, CorruptError } from "../oci/error.ts";

// Which of the three steps of a header differ from the prediction.
const [LENGTHS_DIFFER, RUNS_DIFFER, RUN_CODES_DIFFER] = [1, 2, 4] as const;
const ALL_CODES = LITERAL_CODES + DISTANCE_CODES;

/** A prediction of a header that starts from the tokens of a block. */
interface HeaderPrediction {
  readonly style: HeaderStyle;
  readonly block: BlockTokens;
  /** Gets the header: the predicted one, and then the real one. */
  readonly header: DynamicHeader;
}

/**
 * Writes how a header differs from the predicted one. Each step is predicted from the real outcome of the step before.
 *
 * @returns `false` when nothing differs, and nothing is written
 */
export function writeHeaderDifference(
  real: DynamicHeader,
  { style, block, header }: HeaderPrediction,
  output: SectionWriter,
): boolean {
  let flags = 0;
  style.codeLengths(block, header);
  const [expected, lengths] = [spreadLengths(header), spreadLengths(real)];
  if (header.literalCount !== real.literalCount || header.distanceCount !== real.distanceCount) flags = LENGTHS_DIFFER;
  if (expected.some((length, code) => length !== lengths[code])) flags = LENGTHS_DIFFER;
  if (flags !== 0) copyLengths(real, header);
  style.runLengths(header);
  if (header.runCount !== real.runCount || !isEqual(header.runs, real.runs, real.runCount)) {
    flags |= RUNS_DIFFER;
    header.runs.set(real.runs);
    header.runCount = real.runCount;
  }
  style.runCodeLengths(header);
  if (header.runCodeCount !== real.runCodeCount || !isEqual(header.runCodeLengths, real.runCodeLengths, 19)) {
    flags |= RUN_CODES_DIFFER;
  }
  if (flags === 0) return false;
  output.byte(flags);
  if (flags & LENGTHS_DIFFER) writeLengths(real, { expected, lengths }, output);
  if (flags & RUNS_DIFFER) {
    output.number(real.runCount);
    output.raw(real.runs.subarray(0, real.runCount));
  }
  if (flags & RUN_CODES_DIFFER) {
    output.byte(real.runCodeCount);
    for (let index = 0; index < real.runCodeCount; index++) output.byte(real.runCodeLengths[RUN_CODE_ORDER[index]!]!);
  }
  return true;
}

/** Predicts a header, and applies its difference where it has one. */
export function readHeader({ style, block, header }: HeaderPrediction, input: SectionReader | undefined): void {
  const flags = input?.byte() ?? 0;
  if (flags > 7) throw new CorruptError(cannot("rebuild a block", "its header has unknown flags"));
  style.codeLengths(block, header);
  if (flags & LENGTHS_DIFFER) readLengths(header, input!);
  if (flags & RUNS_DIFFER) {
    header.runCount = input!.number(MAX_RUNS);
    header.runs.set(input!.raw(header.runCount));
  } else {
    style.runLengths(header);
  }
  if (flags & RUN_CODES_DIFFER) readRunCodes(header, input!);
  else style.runCodeLengths(header);
}

function writeLengths(
  real: DynamicHeader,
  { expected, lengths }: { expected: Uint8Array; lengths: Uint8Array },
  output: SectionWriter,
): void {
  output.byte(real.literalCount - 257);
  output.byte(real.distanceCount - 1);
  const differing = [...lengths.keys()].filter((code) => lengths[code] !== expected[code]);
  output.number(differing.length);
  let last = -1;
  for (const code of differing) {
    output.number(code - last - 1);
    output.byte(lengths[code]!);
    last = code;
  }
}

function readLengths(header: DynamicHeader, input: SectionReader): void {
  const lengths = spreadLengths(header);
  header.literalCount = input.number(286 - 257) + 257;
  header.distanceCount = input.number(30 - 1) + 1;
  let code = -1;
  for (let left = input.number(ALL_CODES); left > 0; left--) {
    code += 1 + input.number(ALL_CODES - 2 - code);
    lengths[code] = input.number(15);
  }
  header.lengths.fill(0);
  header.lengths.set(lengths.subarray(0, header.literalCount));
  header.lengths.set(lengths.subarray(LITERAL_CODES, LITERAL_CODES + header.distanceCount), header.literalCount);
}

function readRunCodes(header: DynamicHeader, input: SectionReader): void {
  header.runCodeCount = input.number(19);
  if (header.runCodeCount < 4) throw new CorruptError(cannot("rebuild a block", "its header has too few codes"));
  header.runCodeLengths.fill(0);
  for (let index = 0; index < header.runCodeCount; index++) {
    header.runCodeLengths[RUN_CODE_ORDER[index]!] = input.number(7);
  }
}

// The lengths of the distances follow those of the literals at once: here each code has its own place.
function spreadLengths({ lengths, literalCount, distanceCount }: DynamicHeader): Uint8Array {
  const spread = new Uint8Array(ALL_CODES);
  spread.set(lengths.subarray(0, literalCount));
  spread.set(lengths.subarray(literalCount, literalCount + distanceCount), LITERAL_CODES);
  return spread;
}

function copyLengths(from: DynamicHeader, to: DynamicHeader): void {
  to.literalCount = from.literalCount;
  to.distanceCount = from.distanceCount;
  to.lengths.set(from.lengths);
}

function isEqual(a: Uint8Array, b: Uint8Array, count: number): boolean {
  for (let index = 0; index < count; index++) if (a[index] !== b[index]) return false;
  return true;
}
