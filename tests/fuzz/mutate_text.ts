import type { Random } from "../support/random.ts";
import { mutateBytes } from "./mutate_bytes.ts";
import { mutateJson } from "./mutate_json.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Applies one random mutation to a text: a mutation of its bytes, or words that readers of the text know. */
export function mutateText(text: string, words: readonly string[], random: Random): string {
  const at = random.below(text.length + 1);
  switch (random.below(5)) {
    case 0:
      return decoder.decode(mutateBytes(encoder.encode(text), random).bytes);
    case 1:
      return text.slice(0, at) + random.pick(words) + text.slice(at);
    case 2:
      return text.slice(0, at) + random.pick(words).repeat(1 + random.below(300)) + text.slice(at);
    case 3: {
      const lines = text.split("\n");
      const [a, b] = [random.below(lines.length), random.below(lines.length)];
      [lines[a], lines[b]] = [lines[b]!, lines[a]!];
      return lines.join("\n");
    }
    default:
      return text.slice(0, at) + random.pick(words) + text.slice(at + random.below(30));
  }
}

// Finding the places of a text that is nested thousands of levels deep takes seconds.
const MAX_JSON = 20_000;

/** Applies one random mutation to bytes that may be a JSON document: to the document, or to its bytes. */
export function mutateDocument(bytes: Uint8Array<ArrayBuffer>, random: Random): Uint8Array<ArrayBuffer> {
  if (bytes.length < MAX_JSON && !random.chance(0.25)) {
    try {
      return encoder.encode(mutateJson(decoder.decode(bytes), random).text);
    } catch {
      // It is no JSON any more.
    }
  }
  return mutateBytes(bytes, random).bytes;
}
