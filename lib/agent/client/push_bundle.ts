import { formatPackageTar } from "../../bundle/bundle_layout.ts";
import { type BundleBlob, type BundleReader, readBundle } from "../../bundle/read_bundle.ts";
import { type BundleSource, openByteSource, streamBytes } from "../../bytes/byte_reader.ts";
import { DigestMismatchError, Verifier } from "../../content/verifier.ts";
import { cannot, CorruptError, IncompleteError } from "../../oci/error.ts";
import type { MissingBlob } from "../protocol.ts";
import { type AgentClient, bodyOf } from "./agent_client.ts";
import { AgentError } from "./agent_error.ts";

/** Options of `pushBundle`. */
export interface PushOptions {
  readonly client: AgentClient;
  /** Names the bundle in errors. */
  readonly what: string;
  /** Opens the bundle at its first byte. Called for each attempt. */
  readonly open: () => Promise<BundleSource>;
  /** The size of the bundle in bytes. */
  readonly size: number;
  /** Sends only the plan, and changes nothing. */
  readonly dryRun: boolean;
  /** Called with the number of bytes, of `total`, that the agent has received. */
  readonly onProgress: (bytes: number, total: number | undefined) => void;
  /** Called before a retry, with the reason and the delay in milliseconds. */
  readonly onRetry: (reason: string, delay: number) => void;
  readonly sleep: (milliseconds: number) => Promise<void>;
  /** Returns the delay before a retry in milliseconds, for a number of consecutive failures. */
  readonly delayOf: (failures: number) => number;
}

/** The result of a push. */
export interface PushResult {
  /**
   * The agent's description of the installation, with the fields of an import's result; for a bundle of several packages, a
   * list of these in `packages`.
   */
  readonly document: Record<string, unknown>;
  /** What was sent, or with `dryRun` what would be sent. Bytes that the agent had received before are not counted. */
  readonly sent: { readonly blobs: number; readonly bytes: number };
}

const MAX_FAILURES = 5;
// Until the agent has answered, there are fewer retries, so that a wrong address is reported soon.
const MAX_FAILURES_AT_FIRST = 2;
const PIECE_BYTES = 256 * 1024;
const BUSY_POLL_MILLISECONDS = 1000;
const LOCKED = 423;

/**
 * Pushes a bundle to an agent: asks which blobs are missing, sends only these, in the order of the bundle, and then
 * asks the agent to install. The agent keeps partial files, so that this push or a later one resumes an interrupted
 * blob at its next byte. While another client sends a blob, this push waits for it.
 *
 * A part of a split bundle, a bundle of several packages, and a bundle of earlier tools that does not list its digests, are
 * sent whole.
 *
 * @throws {AgentError} when the agent cannot be reached, or the connection fails repeatedly without progress
 * @throws {CorruptError} when the bundle is damaged
 * @throws as `installPackages` does, for a bundle that the agent refuses
 */
export async function pushBundle(options: PushOptions): Promise<PushResult> {
  return await new Push(options).run();
}

class Push {
  readonly #options: PushOptions;
  readonly #sent = { blobs: 0, bytes: 0 };
  /** The bytes that were missing at the start of the push. */
  #total: number | undefined;
  /** The smallest number of missing bytes so far; a smaller one means progress. */
  #leastMissing = Infinity;

  constructor(options: PushOptions) {
    this.#options = options;
  }

  async run(): Promise<PushResult> {
    const { onRetry, sleep, delayOf } = this.#options;
    for (let failures = 0;;) {
      const before = this.#leastMissing;
      try {
        return await this.#try();
      } catch (error) {
        if (!(error instanceof AgentError) || !error.isTransient) throw error;
        // An upload of another client is not a failure.
        if (error.status === LOCKED) {
          await sleep(BUSY_POLL_MILLISECONDS);
          continue;
        }
        failures = this.#leastMissing < before && before !== Infinity ? 1 : failures + 1;
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
      const { packages, declared, part } = bundle;
      if (declared === undefined || part !== undefined || packages.length > 1) {
        await bundle.cancel();
        return await this.#sendWhole();
      }
      // In a crpe bundle a checksum covers everything up to the first blob. It is read before the plan is sent, so that
      // the agent never records a damaged package.
      const document = { bytes: bundle.document, text: await bundle.readSignatures() };
      const first = await bundle.next();
      const plan = await client.plan(document, { dryRun });
      const rest = plan.missing.reduce((sum, { size, offset }) => sum + size - offset, 0);
      this.#leastMissing = Math.min(this.#leastMissing, rest);
      this.#total ??= rest;
      if (dryRun) return { document: withoutMissing(plan), sent: { blobs: plan.missing.length, bytes: rest } };
      await this.#sendMissing({ bundle, first }, plan.missing, rest);
      const result = await client.install(bodyOf(formatPackageTar(document)));
      return { document: result, sent: { ...this.#sent } };
    } finally {
      await bundle.cancel();
    }
  }

  // The file is read to its end even if no more blobs are needed, because its checksum is there.
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
      cannot(`push ${this.#options.what}`, `${digest} is neither in the bundle nor at the agent`),
      [...missing.keys()],
    );
  }

  /** @param onOffset called with the number of the blob's bytes that the agent has received */
  async #sendBlob(blob: BundleBlob, onOffset: (offset: number) => void): Promise<void> {
    const { client, what } = this.#options;
    const { digest, size } = blob;
    const start = await this.#awaitOtherUpload(blob, onOffset);
    if (start === undefined) return onOffset(size);
    const body = new BlobBody(blob, what, (offset, length) => {
      this.#sent.bytes += length;
      onOffset(offset);
    });
    await body.skip(start);
    onOffset(start);
    try {
      if (await client.putBlob({ digest, size, start }, body.stream)) this.#sent.blobs++;
    } catch (error) {
      // The bundle is correct, so bytes of this or of an earlier upload were changed in transit. The agent has deleted
      // its partial file, and a retry starts over.
      if (!(error instanceof CorruptError) || body.isDamaged) throw error;
      throw new AgentError(`bytes of ${digest} were changed in transit`, { isTransient: true, cause: error });
    } finally {
      await body.end();
    }
  }

  /**
   * Waits while another client sends a blob.
   *
   * @returns the byte to resume at; `undefined` if the agent holds the blob
   */
  async #awaitOtherUpload(
    { digest, size }: BundleBlob,
    onOffset: (offset: number) => void,
  ): Promise<number | undefined> {
    for (;;) {
      const { held, offset, busy } = await this.#options.client.stateOf(digest);
      if (held) return undefined;
      // The agent discards a partial file that is larger than the blob, so the upload starts over.
      if (!busy) return offset > size ? 0 : offset;
      onOffset(offset);
      await this.#options.sleep(BUSY_POLL_MILLISECONDS);
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
 * The request body with the bytes of a blob, verified while they are sent. The last piece is held back until the digest
 * is verified, so that an agent never receives a complete blob with wrong bytes.
 */
class BlobBody {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #blob: BundleBlob;
  readonly #what: string;
  readonly #verifier: Verifier;
  #isDamaged = false;
  #isEnded = false;
  #reading: Promise<unknown> | undefined;

  /** @param onSent called with the position up to which the blob was sent, and the length of the last piece */
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

  /** Whether the bytes of the bundle itself are wrong. */
  get isDamaged(): boolean {
    return this.#isDamaged;
  }

  /**
   * Ends the reading. An agent may answer before it has received the whole blob, as when another client has sent it; the
   * next blob is read from the same bundle, and two reads at once would mix up its bytes.
   */
  async end(): Promise<void> {
    this.#isEnded = true;
    await this.#reading?.catch(() => {});
  }

  /** Skips bytes that the agent has received; they are hashed, but not sent. */
  async skip(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      const piece = await this.#read(Math.min(left, PIECE_BYTES));
      if (piece === undefined) return;
      left -= piece.length;
    }
  }

  async #read(max: number): Promise<Uint8Array | undefined> {
    if (this.#isEnded) throw new AgentError("the agent has answered already", { isTransient: false });
    try {
      const reading = this.#blob.read(max);
      this.#reading = reading;
      const piece = await reading;
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
      throw new CorruptError(cannot(`push ${this.#what}`, cause.clause), { cause });
    }
  }
}

function withoutMissing({ missing: _, ...document }: Record<string, unknown>): Record<string, unknown> {
  return document;
}
