/**
 * Formats a JSON value as YAML that means the same in YAML 1.1 and 1.2. Kubernetes reads YAML 1.1, where `yes`, `012`
 * and `12:30` are not strings. A string is therefore written plain only if no version reads it as anything else. A
 * string of several lines becomes a literal block. All others are double-quoted with JSON's escapes, which YAML
 * supports as well.
 *
 * @returns text that ends with a newline
 */
export function formatYaml(value: unknown): string {
  if (Array.isArray(value) && value.length > 0) return formatList(value, "");
  if (isFilledObject(value)) return formatObject(value, "");
  return `${formatScalar(value, "")}\n`;
}

/**
 * Formats a JSON value as YAML in the style of JSON: one line, in which every text is quoted.
 *
 * @returns text that ends with a newline
 */
export function formatFlowYaml(value: unknown): string {
  const text = JSON.stringify(value, (_key, inner) => typeof inner === "string" ? inner.toWellFormed() : inner);
  return `${escapeUnsafe(text)}\n`;
}

// It begins with a letter or a slash, so it is no number, date or indicator. It has no space, so no ": " and no " #".
const BARE = /^[A-Za-z/][A-Za-z0-9_./:@+=-]*$/;
const MAX_BARE = 128;
// YAML (1.1, 9.3.2 "Flow Mappings") allows 1,024 characters in front of the ":"; a longer key begins with "?".
const MAX_SIMPLE_KEY = 1000;
// The words of the YAML 1.1 types "bool" and "null" (yaml.org/type), which include those of YAML 1.2.
const RESERVED = new Set(["y", "n", "yes", "no", "on", "off", "true", "false", "null"]);
// JSON does not escape these characters, but YAML (1.2, 5.1 "Character Set") or one of its readers does not accept
// them.
const UNSAFE = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g;
// deno-lint-ignore no-control-regex -- the pattern has to match control characters
const NOT_LITERAL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]/;

function formatObject(object: Record<string, unknown>, indent: string): string {
  return Object.entries(object)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${indent}${formatKey(key, indent)}:${formatInside(value, indent, " ")}`)
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

function formatKey(key: string, indent: string): string {
  const text = key.includes(":") ? quoteAlways(key) : quote(key);
  return text.length > MAX_SIMPLE_KEY ? `? ${text}\n${indent}` : text;
}

function quote(text: string): string {
  const isBare = BARE.test(text) && !text.endsWith(":") && text.length <= MAX_BARE;
  return isBare && !RESERVED.has(text.toLowerCase()) ? text : quoteAlways(text);
}

// Half of a surrogate pair is no character, and readers refuse the whole file for it.
function quoteAlways(text: string): string {
  return escapeUnsafe(JSON.stringify(text.toWellFormed()));
}

function escapeUnsafe(json: string): string {
  return json.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// YAML detects the indentation of a block by its first line, which therefore must not be empty or begin with a space.
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
