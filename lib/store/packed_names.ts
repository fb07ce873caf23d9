const NAMES_AT_ONCE = 1000;

/** A list of names, such as those of repositories. It takes a byte for each of their characters. */
export class PackedNames {
  readonly #packed: string[] = [];
  #latest: string[] = [];

  /** Adds a name without a line break. */
  add(name: string): void {
    if (this.#latest.push(name) < NAMES_AT_ONCE) return;
    this.#packed.push(this.#latest.join("\n"));
    this.#latest = [];
  }

  /** Yields the names in the order in which they were added. */
  *[Symbol.iterator](): Generator<string> {
    for (const names of this.#packed) yield* names.split("\n");
    yield* this.#latest;
  }
}
