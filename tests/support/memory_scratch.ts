import type { Scratch } from "../../lib/bytes/scratch.ts";

/** Scratch space in memory, with the given bytes. */
export function memoryScratch(bytes: Uint8Array = new Uint8Array(0)): Scratch & { readonly bytes: Uint8Array } {
  let all = bytes.slice();
  return {
    get size() {
      return all.length;
    },
    get bytes() {
      return all;
    },
    append(more) {
      const joined = new Uint8Array(all.length + more.length);
      joined.set(all);
      joined.set(more, all.length);
      all = joined;
    },
    readAt(position, target) {
      const part = all.subarray(position, position + target.length);
      target.set(part);
      return part.length;
    },
    [Symbol.dispose]() {},
  };
}
