import { formatPackageTar } from "../../bundle/bundle_layout.ts";
import { type BundleBlob, type BundleReader, readBundle } from "../../bundle/read_bundle.ts";
import { type BundleSource, openByteSource, streamBytes } from "../../bytes/byte_reader.ts";
import { DigestMismatchError, Verifier } from "../../content/verifier.ts";
import { CorruptError, IncompleteError } from "../../oci/error.ts";
import type { MissingBlob } from "../protocol.ts";
import { type AgentClient, bodyOf } from "./agent_client.ts";
import { AgentError } from "./agent_error.ts";

/** What a push is made of. */
export interface PushOptions {
  readonly client: AgentClient;
  /** Names the bundle in errors. */
  readonly what: string;
  /** The bundle's bytes, from the start, each time. */
  readonly open: () => Promise<BundleSource>;
  /** Size of the bundle in bytes. */
  readonly size: number;
  /** Asks what would happen, and sends nothing else. */
  readonly dryRun: boolean;
  /** @param bytes of `total` that the agent has got */
  readonly onProgress: (bytes: number, total: number | undefined) => void;
  /** Told why something is tried again, in how many milliseconds. */
  readonly onRetry: (reason: string, delay: number) => void;
  readonly sleep: (milliseconds: number) => Promise<void>;
  /** How long to wait after so many failures that followed each other, in milliseconds. */
  readonly delayOf: (failures: number) => number;
}

/** What a push did. */
export interface PushResult {
  /** What the agent says of the installation: the fields of an import's result. */
  readonly document: Record<string, unknown>;
  /** What was sent; with `dryRun`, what would be. In bytes without those that had come before. */
  readonly sent: { readonly blobs: number; readonly bytes: number };
}

const MAX_FAILURES = 5;
// A wrong address is said soon.
const MAX_FAILURES_AT_FIRST = 2;
const PIECE_BYTES = 256 * 1024;
const TURN_MILLISECONDS = 1000;
const LOCKED = 423;

/**
 * Sends a bundle to an agent: asks what is missing there, sends only that, in the bundle's order, and lets the agent
 * install. What has come stays there: whatever breaks off, here or there, is gone on with at its byte, by this push or a
 * later one. Where another sends the same blob, this one waits for it.
 *
 * A part of a package, and a bundle of earlier tools that does not list its digests, are sent as they are.
 *
 * @throws {AgentError} when the agent cannot be reached or breaks off again and again without anything having come
 * @throws as `importBundle` does, for what the agent refuses; {CorruptError} also for what is damaged here
 */
export async function pushBundle(options: PushOptions): Promise<PushResult> {
  return await new Push(options).run();
}

class Push {
  readonly #options: PushOptions;
  readonly #sent = { blobs: 0, bytes: 0 };
  /** What was to be sent at first, in bytes. */
  #total: number | undefined;
  /** The least that was ever left to be sent. */
  #least = Infinity;

  constructor(options: PushOptions) {
    this.#options = options;
  }

  async run(): Promise<PushResult> {
    const { onRetry, sleep, delayOf } = this.#options;
    for (let failures = 0;;) {
      const before = this.#least;
      try {
        return await this.#try();
      } catch (error) {
        if (!(error instanceof AgentError) || !error.isTransient) throw error;
        // That another is at it is no failure.
        if (error.status === LOCKED) {
          await sleep(TURN_MILLISECONDS);
          continue;
        }
        failures = this.#least < before && before !== Infinity ? 1 : failures + 1;
        if (failures > (this.#total === undefined ? MAX_FAILURES_AT_FIRST : MAX_FAILURES)) throw error;
        const delay = delayOf(failures);
        onRetry(error.message, delay);
        await sleep(delay);
      }
    }
  }

  async #try(): Promise<PushResult> {
    const { client, what, open, dryRun } = this.#options;
    const bundle = await readBundle(await open(), { what });
    try {
      const { kubepkg, declared } = bundle;
      if (declared === undefined || kubepkg.status?.part !== undefined) {
        await bundle.cancel();
        return await this.#sendWhole();
      }
      // Up to there what the package says is covered by a check sum, in a file of ours: no agent is to note what is damaged.
      const first = await bundle.next();
      const plan = await client.plan(kubepkg, { dryRun });
      const rest = plan.missing.reduce((sum, { size, offset }) => sum + size - offset, 0);
      this.#least = Math.min(this.#least, rest);
      this.#total ??= rest;
      if (dryRun) return { document: withoutMissing(plan), sent: { blobs: plan.missing.length, bytes: rest } };
      await this.#sendMissing({ bundle, first }, plan.missing, rest);
      const document = await client.install(bodyOf(formatPackageTar(kubepkg)));
      return { document, sent: { ...this.#sent } };
    } finally {
      await bundle.cancel();
    }
  }

  // The whole file is gone through: only its end says that it is not damaged.
  async #sendMissing(
    { bundle, first }: { bundle: BundleReader; first: BundleBlob | undefined },
    list: readonly MissingBlob[],
    rest: number,
  ): Promise<void> {
    const missing = new Map(list.map((blob) => [blob.digest, blob]));
    let left = rest;
    for (let blob = first; blob !== undefined; blob = await bundle.next()) {
      const wanted = missing.get(blob.digest);
      if (wanted === undefined) continue;
      left -= wanted.size - wanted.offset;
      await this.#sendBlob(blob, (offset) => this.#report(left + blob.size - offset));
      missing.delete(blob.digest);
    }
    const [digest] = missing.keys();
    if (digest === undefined) return;
    throw new IncompleteError(
      `Cannot push ${this.#options.what}: ${digest} is neither in it nor at the agent`,
      [...missing.keys()],
    );
  }

  /** @param onOffset told how many of the blob's bytes the agent has */
  async #sendBlob(blob: BundleBlob, onOffset: (offset: number) => void): Promise<void> {
    const { client, what } = this.#options;
    const { digest, size } = blob;
    const start = await this.#awaitTurn(blob, onOffset);
    if (start === undefined) return onOffset(size);
    const body = new BlobBody(blob, what, (offset, length) => {
      this.#sent.bytes += length;
      onOffset(offset);
    });
    await body.skip(start);
    onOffset(start);
    try {
      await client.putBlob({ digest, size, start }, body.stream);
      this.#sent.blobs++;
    } catch (error) {
      // What had come before, or what came now, was changed on its way; the agent has thrown it away.
      if (!(error instanceof CorruptError) || body.isDamaged) throw error;
      throw new AgentError(error.message, { isTransient: true, cause: error });
    }
  }

  /** Waits as long as another sends a blob. @returns from which byte on to send; `undefined`: the agent has all */
  async #awaitTurn({ digest, size }: BundleBlob, onOffset: (offset: number) => void): Promise<number | undefined> {
    for (;;) {
      const { held, offset, busy } = await this.#options.client.stateOf(digest);
      if (held) return undefined;
      // More than there should be is begun anew.
      if (!busy) return offset > size ? 0 : offset;
      onOffset(offset);
      await this.#options.sleep(TURN_MILLISECONDS);
    }
  }

  async #sendWhole(): Promise<PushResult> {
    const { client, open, size, dryRun, onProgress } = this.#options;
    const opened = await open();
    const source = "read" in opened ? opened : openByteSource(opened);
    let bytes = 0;
    const stream = streamBytes({
      read: async () => {
        const piece = await source.read();
        bytes += piece?.length ?? 0;
        onProgress(bytes, size);
        return piece;
      },
    });
    try {
      const document = await client.install({ stream, length: size }, { dryRun });
      return { document, sent: { blobs: 0, bytes: dryRun ? 0 : bytes } };
    } finally {
      await source.cancel();
    }
  }

  #report(left: number): void {
    if (this.#total !== undefined) this.#options.onProgress(Math.max(0, this.#total - left), this.#total);
  }
}

/**
 * The bytes of a blob of a bundle on their way out, verified. The last piece is held back until all was found to be right,
 * so that nobody ever gets a whole wrong blob from here.
 */
class BlobBody {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #blob: BundleBlob;
  readonly #what: string;
  readonly #verifier: Verifier;
  #isDamaged = false;

  /** @param onSent told up to which byte the blob was sent, and how many of them now */
  constructor(blob: BundleBlob, what: string, onSent: (offset: number, length: number) => void) {
    this.#blob = blob;
    this.#what = what;
    this.#verifier = new Verifier(blob.digest, blob.size);
    let waiting: Uint8Array | undefined;
    this.stream = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        waiting ??= await this.#read(PIECE_BYTES);
        const piece = waiting;
        if (piece !== undefined) waiting = await this.#read(PIECE_BYTES);
        if (waiting === undefined) this.#finish();
        if (piece !== undefined) {
          onSent(this.#verifier.seen - (waiting?.length ?? 0), piece.length);
          controller.enqueue(piece);
        }
        if (waiting === undefined) controller.close();
      },
    }, { highWaterMark: 0 });
  }

  /** Whether the bundle's own bytes were found to be wrong. */
  get isDamaged(): boolean {
    return this.#isDamaged;
  }

  /** Passes over bytes that the agent has. */
  async skip(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      const piece = await this.#read(Math.min(left, PIECE_BYTES));
      if (piece === undefined) return;
      left -= piece.length;
    }
  }

  async #read(max: number): Promise<Uint8Array | undefined> {
    try {
      const piece = await this.#blob.read(max);
      if (piece !== undefined) this.#verifier.update(piece);
      return piece;
    } catch (error) {
      this.#isDamaged ||= error instanceof CorruptError;
      throw error;
    }
  }

  #finish(): void {
    try {
      this.#verifier.finish();
    } catch (cause) {
      if (!(cause instanceof DigestMismatchError)) throw cause;
      this.#isDamaged = true;
      throw new CorruptError(`Cannot push ${this.#what}: ${cause.message}`, { cause });
    }
  }
}

function withoutMissing({ missing: _, ...document }: Record<string, unknown>): Record<string, unknown> {
  return document;
}
