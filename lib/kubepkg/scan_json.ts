/** The keys and positions that lead to the current value. */
type JsonPath = readonly (string | number)[];

/** Receives what a scan of a JSON text meets. Paths are valid during the call only. */
interface JsonVisitor {
  /** A number, as the text spells it. */
  number?(token: string, path: JsonPath): void;
  /** A key that its object had before. */
  duplicateKey?(path: JsonPath): void;
}

const [QUOTE, COMMA, MINUS, NINE] = [0x22, 0x2c, 0x2d, 0x39];
const [OPEN_LIST, BACKSLASH, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5c, 0x5d, 0x7b, 0x7d];
const NUMBER = /[-+.0-9eE]+/y;

/**
 * Walks a JSON text without making values of it, for what `JSON.parse` does not tell: how a number is spelled, and which
 * keys were given twice.
 *
 * @param text well-formed JSON, of a bounded depth
 */
export function scanJson(text: string, visitor: JsonVisitor): void {
  const path: (string | number)[] = [];
  // The keys of each open object; `undefined` for an array, and for an object before its first key.
  const keys: (Set<string> | undefined)[] = [];
  let isKeyNext = false;
  for (let at = 0; at < text.length;) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const end = endOfString(text, at);
      if (isKeyNext) {
        const key = readString(text, at, end);
        path[path.length - 1] = key;
        const seen = keys[keys.length - 1] ??= new Set();
        if (seen.has(key)) visitor.duplicateKey?.(path);
        seen.add(key);
        isKeyNext = false;
      }
      at = end;
      continue;
    }
    if (code === MINUS || code >= 0x30 && code <= NINE) {
      NUMBER.lastIndex = at;
      const token = NUMBER.exec(text)![0];
      visitor.number?.(token, path);
      at += token.length;
      continue;
    }
    if (code === OPEN_OBJECT || code === OPEN_LIST) {
      isKeyNext = code === OPEN_OBJECT;
      path.push(isKeyNext ? "" : 0);
      keys.push(undefined);
    } else if (code === CLOSE_OBJECT || code === CLOSE_LIST) {
      isKeyNext = false;
      path.pop();
      keys.pop();
    } else if (code === COMMA) {
      const key = path[path.length - 1];
      if (typeof key === "number") path[path.length - 1] = key + 1;
      else isKeyNext = true;
    }
    at++;
  }
}

/**
 * Splits a text of JSON objects in a row, with or without line breaks between them, as `jq` writes them. Whether
 * each is JSON is not checked; what follows the last one is given as well.
 *
 * @param limit most objects; what follows them is the last text
 */
export function splitJsonObjects(text: string, limit: number): string[] {
  const objects: string[] = [];
  let [start, depth] = [0, 0];
  for (let at = 0; at < text.length && objects.length < limit;) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
      continue;
    }
    if (code === OPEN_OBJECT) depth++;
    else if (code === CLOSE_OBJECT) depth--;
    at++;
    if (code !== CLOSE_OBJECT || depth !== 0) continue;
    objects.push(text.slice(start, at));
    start = at;
  }
  const rest = text.slice(start);
  return rest.trim() === "" ? objects : [...objects, rest];
}

// The position behind the closing quote of a string that starts at `start`.
function endOfString(text: string, start: number): number {
  for (let at = start + 1;;) {
    const end = text.indexOf('"', at);
    if (end < 0) return text.length;
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end + 1;
    at = end + 1;
  }
}

function readString(text: string, start: number, end: number): string {
  const inner = text.slice(start + 1, end - 1);
  return inner.includes("\\") ? JSON.parse(`"${inner}"`) : inner;
}
