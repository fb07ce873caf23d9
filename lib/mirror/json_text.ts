/** A member of the outermost object of a JSON text: where its value is. */
interface Member {
  readonly key: string;
  readonly start: number;
  readonly end: number;
}

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:,]/g;

/**
 * Sets a member of the outermost object of a JSON text to a list, and preserves every other byte: numbers beyond those of
 * JavaScript, keys that are given twice, and the layout.
 *
 * @param text a well-formed JSON object
 * @returns `undefined` when the object has the member more than once
 */
export function setJsonList(text: string, name: string, list: readonly string[]): string | undefined {
  const members = listMembers(text);
  const [member, other] = members.filter(({ key }) => key === name);
  if (other !== undefined) return undefined;
  const open = text.indexOf("{") + 1;
  const newline = text.includes("\r\n") ? "\r\n" : "\n";
  const indent = /^\s*\n([ \t]+)"/.exec(text.slice(open))?.[1] ?? "  ";
  const isOneLine = members.length > 0 && !/^[ \t]*\r?\n/.test(text.slice(open));
  const items = list.map((item) => JSON.stringify(item));
  const value = isOneLine
    ? `[${items.join(", ")}]`
    : `[${items.map((item) => `${newline}${indent}${indent}${item}`).join(",")}${newline}${indent}]`;
  if (member !== undefined) return text.slice(0, member.start) + value + text.slice(member.end);
  const last = members.at(-1);
  const added = `${isOneLine ? " " : newline + indent}${JSON.stringify(name)}: ${value}`;
  if (last !== undefined) return `${text.slice(0, last.end)},${added}${text.slice(last.end)}`;
  return `${text.slice(0, open)}${added}${newline}${text.slice(text.indexOf("}"))}`;
}

function listMembers(text: string): Member[] {
  const members: Member[] = [];
  let depth = 0;
  let [key, start]: [key: string | undefined, start: number] = [undefined, 0];
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    const isEnd = depth === 1 && (token === "," || token === "}");
    if (isEnd && key !== undefined) {
      members.push({ key, start, end: start + text.slice(start, index).trimEnd().length });
      key = undefined;
    } else if (depth === 1 && key === undefined && token.startsWith('"')) {
      key = JSON.parse(token);
      start = /[^\s:]/.exec(text.slice(index + token.length))!.index + index + token.length;
    }
    if (token === "{" || token === "[") depth++;
    else if (token === "}" || token === "]") depth--;
  }
  return members;
}
