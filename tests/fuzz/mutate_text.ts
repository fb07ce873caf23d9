import type { Random } from "../support/random.ts";
import { mutateBytes } from "./mutate_bytes.ts";

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
