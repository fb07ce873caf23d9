import type { ResponseInfo } from "../../registry/handler.ts";
import type { Digest } from "../../oci/digest.ts";

const MAX_ENTRIES = 10_000;

/** When clients last requested the images of a server, since it started. */
export class ImageUse {
  // A Map iterates in insertion order: the image that was requested last is at its end.
  readonly #times = new Map<string, number>();
  readonly #now: () => number;

  /** @param now the time in milliseconds since 1970 */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Records a response of the registry. Only those with a manifest count. */
  record({ repo, digest }: Pick<ResponseInfo, "repo" | "digest">): void {
    if (repo === undefined || digest === undefined) return;
    const key = `${repo}@${digest}`;
    this.#times.delete(key);
    this.#times.set(key, this.#now());
    if (this.#times.size <= MAX_ENTRIES) return;
    const [oldest] = this.#times.keys();
    this.#times.delete(oldest!);
  }

  /** Returns when an image was last requested. @param reference `docker.io/library/nginx:1.27` */
  find({ reference, digest }: { readonly reference: string; readonly digest: Digest }): Date | undefined {
    const time = this.#times.get(`${reference.replace(/:[^:/]*$/, "")}@${digest}`);
    return time === undefined ? undefined : new Date(time);
  }
}
