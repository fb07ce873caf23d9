/**
 * Writes a JSON value as YAML that readers of every version understand alike. Kubernetes reads YAML 1.1, where `yes`,
 * `012` and `12:30` are not text: a text is written bare only if it looks like nothing else in any version, as a literal
 * block if it has several lines, and else within double quotes with JSON's escapes, which YAML has too.
 *
 * @returns text that ends with a newline
 */
export function formatYaml(value: unknown): string {
  if (Array.isArray(value) && value.length > 0) return formatList(value, "");
  if (isFilledObject(value)) return formatObject(value, "");
  return `${formatScalar(value, "")}\n`;
}

// Begins with a letter or a slash, so it is no number, date or indicator, and no ": " or " #" can be in it.
const BARE = /^[A-Za-z/][A-Za-z0-9_./:@+=-]*$/;
const MAX_BARE = 128;
// YAML 1.1 types "bool" and "null" (yaml.org/type), and what is left of them in 1.2.
const RESERVED = new Set(["y", "n", "yes", "no", "on", "off", "true", "false", "null"]);
// JSON leaves these as they are, YAML (1.2, 5.1 "Character Set") or one of its readers does not take them so.
const UNSAFE = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g;
// deno-lint-ignore no-control-regex -- those characters are what is looked for
const NOT_LITERAL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]/;

function formatObject(object: Record<string, unknown>, indent: string): string {
  return Object.entries(object)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${indent}${formatKey(key)}:${formatInside(value, indent, " ")}`)
    .join("");
}

function formatList(list: readonly unknown[], indent: string): string {
  return list.map((value) => {
    if (isFilledObject(value)) return `${indent}- ${formatObject(value, `${indent}  `).trimStart()}`;
    return `${indent}-${formatInside(value, indent, " ")}`;
  }).join("");
}

function formatInside(value: unknown, indent: string, gap: string): string {
  const inner = `${indent}  `;
  if (Array.isArray(value) && value.length > 0) return `\n${formatList(value, inner)}`;
  if (isFilledObject(value)) return `\n${formatObject(value, inner)}`;
  return `${gap}${formatScalar(value, inner)}\n`;
}

function formatScalar(value: unknown, indent: string): string {
  if (typeof value === "string") return isLiteral(value) && indent !== "" ? formatLiteral(value, indent) : quote(value);
  if (Array.isArray(value)) return "[]";
  if (typeof value === "object" && value !== null) return "{}";
  return JSON.stringify(value) ?? "null";
}

function formatKey(key: string): string {
  return key.includes(":") ? quoteAlways(key) : quote(key);
}

function quote(text: string): string {
  const isBare = BARE.test(text) && !text.endsWith(":") && text.length <= MAX_BARE;
  return isBare && !RESERVED.has(text.toLowerCase()) ? text : quoteAlways(text);
}

function quoteAlways(text: string): string {
  return JSON.stringify(text).replace(UNSAFE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// The first line tells the reader how deep the block is indented, so it must have something and not begin with a space.
function isLiteral(text: string): boolean {
  return text.includes("\n") && /^[^\s]/.test(text) && !NOT_LITERAL.test(text);
}

function formatLiteral(text: string, indent: string): string {
  let end = text.length;
  while (text[end - 1] === "\n") end--;
  const [body, newlines] = [text.slice(0, end), text.slice(end)];
  const chomping = newlines === "" ? "-" : newlines === "\n" ? "" : "+";
  const lines = body.split("\n").map((line) => line === "" ? "" : `${indent}${line}`);
  return `|${chomping}\n${lines.join("\n")}${newlines.slice(1)}`;
}

function isFilledObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.values(value).some((inner) => inner !== undefined);
}
