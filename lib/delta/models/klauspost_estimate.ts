import { DISTANCE_EXTRA_BITS, LENGTH_EXTRA_BITS } from "../deflate_tables.ts";
import type { Frequencies } from "./frequencies.ts";

const { fround } = Math;
/** The bits that the end of a block is taken for. */
const END_BITS = 15;
/** A symbol takes at least one bit and at most this many. */
const LONGEST_CODE = 15;
// The polynomial for the fraction of a logarithm.
const SQUARE = fround(-0.34484843);
const LINEAR = fround(2.02466578);
const CONSTANT = fround(0.67487759);

const float = new Float32Array(1);
const floatBits = new Int32Array(float.buffer);

/**
 * The bits that klauspost/compress expects of a block with a header of its own: the entropy of its symbols in
 * floating-point numbers of 32 bits (as on amd64: each operation is rounded), and their extra bits.
 *
 * @param tokens the number of tokens, with the end of the block where it is written at once
 */
export function estimateBits({ literals, distances }: Frequencies, tokens: number): number {
  let [entropy, extraBits, matches] = [0, 0, 0];
  const share = fround(1 / fround(tokens));
  for (let literal = 0; literal < 256; literal++) entropy = addSymbol(entropy, literals[literal]!, share);
  entropy = fround(entropy + END_BITS);
  for (let code = 0; code < LENGTH_EXTRA_BITS.length; code++) {
    const frequency = literals[257 + code]!;
    entropy = addSymbol(entropy, frequency, share);
    extraBits += frequency * LENGTH_EXTRA_BITS[code]!;
    matches += frequency;
  }
  if (matches > 0) {
    const matchShare = fround(1 / fround(matches));
    for (let code = 0; code < DISTANCE_EXTRA_BITS.length; code++) {
      entropy = addSymbol(entropy, distances[code]!, matchShare);
      extraBits += distances[code]! * DISTANCE_EXTRA_BITS[code]!;
    }
  }
  return Math.trunc(entropy) + extraBits;
}

function addSymbol(entropy: number, frequency: number, share: number): number {
  if (frequency === 0) return entropy;
  const bits = Math.min(LONGEST_CODE, Math.max(1, -logarithm(fround(frequency * share))));
  return fround(entropy + fround(bits * frequency));
}

// A quick logarithm to the base 2: the exponent, and a parabola through the mantissa.
function logarithm(value: number): number {
  float[0] = value;
  const exponent = (floatBits[0]! >> 23 & 255) - 128;
  floatBits[0] = (floatBits[0]! & 0x807fffff) + 0x3f800000;
  const mantissa = float[0]!;
  const parabola = fround(fround(fround(fround(SQUARE * mantissa) + LINEAR) * mantissa) - CONSTANT);
  return fround(exponent + parabola);
}
