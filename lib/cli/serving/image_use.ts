import { writeFileDurably } from "../../files/durable.ts";
import type { Digest } from "../../oci/digest.ts";
import { isJsonObject } from "../../oci/json.ts";
import type { AnswerInfo } from "../../registry/handler.ts";
import { INGEST, temporaryPath } from "../../store/layout.ts";

const FILE = `${INGEST}/image-use.json`;
const MAX_ENTRIES = 10_000;
const SAVE_MILLISECONDS = 300_000;

/** When clients last requested the images of a data folder. */
export class ImageUse {
  // A Map iterates in insertion order: the image that was requested last is at its end.
  readonly #times = new Map<string, number>();
  readonly #now: () => number;
  #isSaved = true;

  /** @param now the time in milliseconds since 1970 */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Reads the times that an earlier server has saved; none if their file is missing or corrupt. */
  static async read(data: string, now?: () => number): Promise<ImageUse> {
    const use = new ImageUse(now);
    try {
      const times: unknown = JSON.parse(await Deno.readTextFile(`${data}/${FILE}`));
      for (const [key, time] of Object.entries(isJsonObject(times) ? times : {}).slice(-MAX_ENTRIES)) {
        if (typeof time === "number" && !Number.isNaN(new Date(time).getTime())) use.#times.set(key, time);
      }
    } catch {
      return new ImageUse(now);
    }
    return use;
  }

  /** Records a response of the registry. Only those with a manifest count. */
  record({ repo, digest }: Pick<AnswerInfo, "repo" | "digest">): void {
    if (repo === undefined || digest === undefined) return;
    const key = `${repo}@${digest}`;
    this.#times.delete(key);
    this.#times.set(key, this.#now());
    this.#isSaved = false;
    if (this.#times.size <= MAX_ENTRIES) return;
    const [oldest] = this.#times.keys();
    this.#times.delete(oldest!);
  }

  /** Returns when an image was last requested. @param reference `docker.io/library/nginx:1.27` */
  find({ reference, digest }: { readonly reference: string; readonly digest: Digest }): Date | undefined {
    const time = this.#times.get(`${reference.replace(/:[^:/]*$/, "")}@${digest}`);
    return time === undefined ? undefined : new Date(time);
  }

  /** Writes the times to the data folder, if they have changed. */
  async save(data: string): Promise<void> {
    if (this.#isSaved) return;
    this.#isSaved = true;
    const bytes = new TextEncoder().encode(JSON.stringify(Object.fromEntries(this.#times)));
    await writeFileDurably(`${data}/${FILE}`, bytes, { temporary: temporaryPath(data) });
  }

  /** Saves the times every five minutes, and when the result is disposed of. The times are not worth an error. */
  startSaving(data: string): AsyncDisposable {
    const save = () => this.save(data).catch(() => {});
    const timer = setInterval(save, SAVE_MILLISECONDS);
    return {
      async [Symbol.asyncDispose]() {
        clearInterval(timer);
        await save();
      },
    };
  }
}
