// @ts-types="../std/js_yaml.d.ts"
import { type Listener, loadAll } from "js-yaml";
import type { FieldPath } from "./field_path.ts";
import { SCHEMA } from "./read_yaml.ts";

/** A value in a text, and where it begins. */
interface Node {
  readonly position: number;
  readonly kind: string;
  readonly result: unknown;
  readonly children: readonly Node[];
}

/**
 * Reads where the fields of YAML or JSON documents begin. The returned function gives the line of a field, from 1; for a
 * field that is missing, or written in a way that is not followed, that of the nearest field around it.
 *
 * @param text JSON is read as YAML, which it is a part of
 * @returns `undefined` when the text cannot be read
 */
export function readFieldLines(text: string): ((document: number, path: FieldPath) => number) | undefined {
  const roots: Node[] = [];
  try {
    loadAll(text, null, { schema: SCHEMA, listener: collectNodes(roots) });
  } catch {
    return undefined;
  }
  // As in `parseYamlDocuments`, documents without content do not count.
  const documents = roots.filter(({ result }) => result !== null && result !== undefined);
  return (document, path) => {
    let node = documents[document];
    let position = node === undefined ? 0 : node.children[0]?.position ?? node.position;
    for (const key of path) {
      const found = node && findField(node, key);
      if (found === undefined) break;
      [node, position] = [found.value, found.position];
    }
    return countLines(text, position);
  };
}

// js-yaml reports when it begins a value, and when it has read it. A key is a value too.
function collectNodes(roots: Node[]): Listener {
  const open: { position: number; children: Node[] }[] = [];
  return (event, { position, kind, result }) => {
    if (event === "open") {
      open.push({ position, children: [] });
      return;
    }
    const { position: begin, children } = open.pop()!;
    (open.at(-1)?.children ?? roots).push({
      position: begin,
      kind,
      result,
      // The parts of a text are of no interest.
      children: typeof result === "object" ? children : [],
    });
  };
}

function findField(node: Node, key: string | number): { value: Node; position: number } | undefined {
  const { children, result } = unwrap(node);
  if (Array.isArray(result)) {
    // An item that is empty has no value of its own, so that the others cannot be counted.
    const value = typeof key === "number" && children.length === result.length ? children[key] : undefined;
    return value && { value, position: value.position };
  }
  for (let i = 0; i + 1 < children.length; i += 2) {
    if (String(children[i]!.result) === String(key)) {
      return { value: children[i + 1]!, position: children[i]!.position };
    }
  }
  return undefined;
}

// js-yaml tries whether a value is the key of a mapping: it then reports the same value twice.
function unwrap(node: Node): Node {
  let inner = node;
  while (inner.children.length === 1 && inner.children[0]!.result === inner.result) inner = inner.children[0]!;
  return inner;
}

function countLines(text: string, position: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < position; at = text.indexOf("\n", at + 1)) line++;
  return line;
}
