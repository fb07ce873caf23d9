import type { Locator } from "playwright-core";

/** A finger on a touch screen, whose taps are counted. */
export class Finger {
  #taps = 0;

  get taps(): number {
    return this.#taps;
  }

  async tap(target: Locator): Promise<void> {
    await target.tap();
    this.#taps++;
  }

  /** Taps a field and pastes a text. Only the tap counts. */
  async paste(field: Locator, text: string): Promise<void> {
    await this.tap(field);
    await field.fill(text);
  }
}
