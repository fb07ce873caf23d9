import { cannot, CorruptError } from "../oci/error.ts";

/** An element of an XML document. Attributes are ignored, and names have no prefix. */
export interface XmlElement {
  readonly name: string;
  /** The text directly in the element. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

const MAX_DEPTH = 16;
const TOKEN = /<\?xml[^<>]*\?>|<(\/?)(?:[\w.-]+:)?([\w.-]+)(?:\s[^<>]*?)?(\/?)>|([^<]+)/y;
const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

/**
 * Parses the XML of an S3 response: elements and text. Comments, CDATA and document types, which no engine sends, are
 * refused, and with them every entity that a document could declare.
 *
 * @throws {CorruptError} when the text is anything else
 */
export function parseXml(text: string): XmlElement {
  const root = { name: "", text: "", children: [] as XmlElement[] };
  const open = [root];
  const token = new RegExp(TOKEN);
  while (token.lastIndex < text.length) {
    const at = token.lastIndex;
    const match = token.exec(text);
    if (match === null) throw invalid(at);
    const [, closing, name, empty, content] = match;
    const current = open.at(-1)!;
    if (content !== undefined) current.text += decodeEntities(content);
    else if (closing === "/") {
      if (open.length === 1 || current.name !== name) throw invalid(at);
      open.pop();
    } else if (name !== undefined) {
      const element = { name, text: "", children: [] };
      current.children.push(element);
      if (empty !== "/") open.push(element);
      if (open.length > MAX_DEPTH) throw invalid(at);
    }
  }
  const [document, ...others] = root.children;
  if (document === undefined || others.length > 0 || open.length > 1 || root.text.trim() !== "") {
    throw invalid(text.length);
  }
  return document;
}

/** Returns the text of the first child of a name; `undefined` if there is none. */
export function textOf(element: XmlElement, name: string): string | undefined {
  return element.children.find((child) => child.name === name)?.text;
}

function decodeEntities(text: string): string {
  return text.replace(/&(#x[0-9a-fA-F]{1,6}|#[0-9]{1,7}|\w+);|&/g, (_, name: string = "") => {
    if (Object.hasOwn(ENTITIES, name)) return ENTITIES[name]!;
    const code = name.startsWith("#") ? Number(name.replace("#x", "0x").replace("#", "")) : NaN;
    if (!(code <= 0x10ffff)) throw new CorruptError(cannot("read the XML", "it has an unknown entity"));
    return String.fromCodePoint(code);
  });
}

function invalid(at: number): CorruptError {
  return new CorruptError(cannot("read the XML", `it is not valid at character ${at}`));
}
