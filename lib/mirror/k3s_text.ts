/**
 * Inserts a URL in front of the endpoints of a host in the text of a `registries.yaml`, and preserves every other
 * character. It supports the usual block layout, and returns `undefined` for others. The caller must parse the result to
 * check its meaning.
 */
export function insertEndpoint(text: string, host: string, url: string): string | undefined {
  const lines = text === "" || text.endsWith("\n") ? text.split("\n").slice(0, -1) : text.split("\n");
  const mirrors = lines.findIndex((line) => /^mirrors\s*:\s*(?:\{\s*\}|null|~)?\s*(?:#.*)?$/.test(line));
  if (mirrors < 0) {
    if (lines.some((line) => /^["']?mirrors["']?\s*:/.test(line))) return undefined;
    return join([...lines, "mirrors:", ...entryOf("  ", host, url)]);
  }
  lines[mirrors] = lines[mirrors]!.replace(/:\s*(?:\{\s*\}|null|~)/, ":");
  const end = endOfBlock(lines, mirrors);
  const indent = indentOfChildren(lines, mirrors, end) ?? "  ";
  const at = lines.findIndex((line, i) => i > mirrors && i < end && keyOf(line, indent) === host);
  if (at < 0) return join(lines.toSpliced(mirrors + 1, 0, ...entryOf(indent, host, url)));
  return insertIntoEntry(lines, at, url);
}

/**
 * Sets a value below nested mappings in the text of a `registries.yaml`, such as that of `configs`, a host, `tls` and
 * `ca_file`, and preserves every other line. It supports the usual block layout, and returns `undefined` for others. The
 * caller must parse the result to check its meaning.
 */
export function setNestedValue(text: string, path: readonly string[], value: string): string | undefined {
  const lines = text === "" || text.endsWith("\n") ? text.split("\n").slice(0, -1) : text.split("\n");
  let [start, end, indent] = [0, lines.length, ""];
  for (const [depth, key] of path.entries()) {
    const at = lines.findIndex((line, i) => i >= start && i < end && keyOf(line, indent) === key);
    if (at < 0) {
      // At the top, the end of the file is the safe place.
      lines.splice(depth === 0 ? end : start, 0, ...nestedLines(path.slice(depth), indent, value));
      return join(lines);
    }
    const rest = lines[at]!.replace(/^.*?:(?=\s|$)/, "").trim();
    if (depth === path.length - 1 || !/^(?:\{\s*\}|null|~)?\s*(?:#.*)?$/.test(rest)) return undefined;
    lines[at] = lines[at]!.replace(/:\s*(?:\{\s*\}|null|~)/, ":");
    [start, end] = [at + 1, endOfBlock(lines, at)];
    indent = indentOfChildren(lines, at, end) ?? `${indent}  `;
  }
  return undefined;
}

function nestedLines(path: readonly string[], indent: string, value: string): string[] {
  return path.map((key, i) => {
    const name = /^[a-z0-9][a-z0-9._-]*$/.test(key) ? key : quote(key);
    return `${indent}${"  ".repeat(i)}${name}:${i === path.length - 1 ? ` ${quote(value)}` : ""}`;
  });
}

/** @param at the index of the line with the host's key */
function insertIntoEntry(lines: readonly string[], at: number, url: string): string | undefined {
  const rest = lines[at]!.replace(/^.*?:(?=\s|$)/, "").trim();
  if (rest !== "" && !rest.startsWith("#")) return undefined;
  const end = endOfBlock(lines, at);
  const indent = indentOfChildren(lines, at, end);
  const own = indentOf(lines[at]!);
  if (indent === undefined) return join(lines.toSpliced(at + 1, 0, `${own}  endpoint:`, `${own}    - ${quote(url)}`));
  const endpoint = lines.findIndex((line, i) => i > at && i < end && keyOf(line, indent) === "endpoint");
  if (endpoint < 0) return join(lines.toSpliced(at + 1, 0, `${indent}endpoint:`, `${indent}  - ${quote(url)}`));
  const line = lines[endpoint]!;
  const flow = /^(\s*\S+\s*:\s*\[)(\s*)(.*)$/.exec(line);
  if (flow !== null) {
    const [, head = "", gap = "", tail = ""] = flow;
    const comma = tail.startsWith("]") ? "" : ", ";
    return join(lines.toSpliced(endpoint, 1, `${head}${gap}${quote(url)}${comma}${tail}`));
  }
  // The items of a list may have the same indentation as its key.
  const item = lines.slice(endpoint + 1).find((line) => !isBlank(line));
  const dash = item === undefined ? null : /^(\s*)-\s/.exec(item);
  const itemIndent = dash !== null && dash[1]!.length >= indent.length ? dash[1]! : `${indent}  `;
  return join(lines.toSpliced(endpoint + 1, 0, `${itemIndent}- ${quote(url)}`));
}

function entryOf(indent: string, host: string, url: string): string[] {
  return [
    `${indent}${/^[a-z0-9][a-z0-9.-]*$/.test(host) ? host : quote(host)}:`,
    `${indent}  endpoint:`,
    `${indent}    - ${quote(url)}`,
  ];
}

/** Finds the first line after a key's block: the next one that is not indented further than the key. */
function endOfBlock(lines: readonly string[], at: number): number {
  const own = indentOf(lines[at]!).length;
  const end = lines.findIndex((line, i) => i > at && !isBlank(line) && indentOf(line).length <= own);
  return end < 0 ? lines.length : end;
}

function indentOfChildren(lines: readonly string[], at: number, end: number): string | undefined {
  const child = lines.slice(at + 1, end).find((line) => !isBlank(line));
  return child === undefined ? undefined : indentOf(child);
}

/** Returns the key on a line, if the line has the given indentation. */
function keyOf(line: string, indent: string): string | undefined {
  if (isBlank(line) || indentOf(line) !== indent) return undefined;
  const match = /^\s*(?:"([^"]*)"|'([^']*)'|([^\s"'#-][^#]*?|\*))\s*:(?:\s|$)/.exec(line);
  return match === null ? undefined : match[1] ?? match[2] ?? match[3];
}

function isBlank(line: string): boolean {
  return /^\s*(?:#.*)?$/.test(line);
}

function indentOf(line: string): string {
  return /^ */.exec(line)![0];
}

function quote(text: string): string {
  return JSON.stringify(text);
}

function join(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
