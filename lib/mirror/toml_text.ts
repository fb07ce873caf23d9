import { parse } from "smol-toml";
import { isJsonObject } from "../oci/json.ts";

/** A key of a table in a TOML document, and its new value. */
interface TomlSetting {
  /** The path of the table: `["plugins", "cri", "registry"]`. */
  readonly table: readonly string[];
  /** The name of the key, of letters, digits, `-` and `_`. */
  readonly key: string;
  readonly value: string;
}

/**
 * Sets a key in the text of a TOML document, and preserves every other line. The result is parsed again and compared
 * with the expected document.
 *
 * @returns `undefined` when the text cannot be edited so that it has the expected meaning
 */
export function setTomlValue(text: string, { table, key, value }: TomlSetting): string | undefined {
  const line = `${key} = ${JSON.stringify(value)}`;
  const lines = text === "" || text.endsWith("\n") ? text.split("\n").slice(0, -1) : text.split("\n");
  const at = lines.findIndex((line) => isSame(readHeader(line), table));
  if (at < 0) lines.push(...lines.length === 0 ? [] : [""], formatHeader(table), `  ${line}`);
  else {
    const next = lines.findIndex((line, i) => i > at && readHeader(line) !== undefined);
    const end = next < 0 ? lines.length : next;
    const existing = lines.findIndex((line, i) => i > at && i < end && new RegExp(`^[ \\t]*${key}[ \\t]*=`).test(line));
    const indent = /^[ \t]*/.exec(lines[existing < 0 ? at : existing]!)![0] + (existing < 0 ? "  " : "");
    lines.splice(existing < 0 ? at + 1 : existing, existing < 0 ? 0 : 1, `${indent}${line}`);
  }
  const changed = `${lines.join("\n")}\n`;
  try {
    return isSame(parse(changed), withValue(parse(text), [...table, key], value)) ? changed : undefined;
  } catch {
    return undefined;
  }
}

/** Formats the header of a table: `[plugins."io.containerd.grpc.v1.cri".registry]`. */
export function formatHeader(table: readonly string[]): string {
  return `[${table.map((part) => /^[A-Za-z0-9_-]+$/.test(part) ? part : JSON.stringify(part)).join(".")}]`;
}

/** Returns the path in the header of a table; `undefined` for any other line. */
function readHeader(line: string): string[] | undefined {
  if (!/^[ \t]*\[/.test(line)) return undefined;
  const path: string[] = [];
  try {
    let at: unknown = parse(line);
    if (/^[ \t]*\[[ \t]*\[/.test(line)) return [];
    for (; isJsonObject(at); at = at[path.at(-1)!]) {
      const [key] = Object.keys(at);
      if (key === undefined) return path;
      path.push(key);
    }
  } catch {
    // A line of an array that spans several lines.
  }
  return undefined;
}

function withValue(document: Readonly<Record<string, unknown>>, path: readonly string[], value: string): unknown {
  const [key = "", ...rest] = path;
  const child = document[key];
  if (rest.length === 0) return { ...document, [key]: value };
  // A value that is not a table has no place for the key, and the comparison fails.
  return { ...document, [key]: withValue(isJsonObject(child) ? child : {}, rest, value) };
}

function isSame(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((value, i) => isSame(value, b[i]));
  if (a instanceof Date && b instanceof Date) return a.toISOString() === b.toISOString();
  if (!isJsonObject(a) || !isJsonObject(b)) return Object.is(a, b);
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isSame(a[key], b[key]));
}
