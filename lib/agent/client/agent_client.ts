import type { SignedDocument } from "../../signature/trust_policy.ts";
import type { RateLimit } from "../../bytes/rate_limit.ts";
import { formatPackageTar } from "../../bundle/bundle_layout.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import { isJsonObject, textsOf } from "../../oci/json.ts";
import { type BlobState, type MissingBlob, NDJSON } from "../protocol.ts";
import { AgentError, errorOfAnswer, notAnAgent } from "./agent_error.ts";
import { type AgentConnection, type AgentRequestBody, parseAnswer } from "./request_agent.ts";
import { RequestTimeout } from "./request_timeout.ts";

/** The agent's answer to a plan. It also has the fields of an import's result. */
interface PushPlan {
  readonly name: string;
  readonly version: string;
  readonly verdict: string;
  readonly missing: readonly MissingBlob[];
  readonly [field: string]: unknown;
}

/** Options of an `AgentClient`. */
interface AgentClientOptions extends AgentConnection {
  readonly token: string;
  /** Installs even if the version rule forbids it. */
  readonly force: boolean;
  /** Deletes data that leaves the package. */
  readonly pruneData?: boolean;
  /** The time without progress of the request body after which a request is aborted, in milliseconds. */
  readonly stallTimeout?: number;
  /**
   * The time without a sign of life after the request was sent, in milliseconds. An installation sends progress while it
   * reads and rebuilds layers; the time includes the hand-over into the cluster.
   */
  readonly answerTimeout?: number;
  /** Limits what is sent. */
  readonly rateLimit?: RateLimit | undefined;
  /** Called once with each warning of the agent, as soon as the agent has sent it. */
  readonly onWarning?: (message: string) => void;
}

const STALL_MILLISECONDS = 30_000;
// The agent may have to write gigabytes to a slow card, and to wait for the cluster.
const ANSWER_MILLISECONDS = 600_000;
/** The slowest disk that an agent is expected to have, in bytes a millisecond: 1 MiB/s. */
const SLOWEST_SYNC = 1024 * 1024 / 1000;
// The status of the answer to an upload of a blob that the agent has by then.
const ALREADY_HELD = 200;

/**
 * A client for the API of an agent.
 *
 * Each method throws an `AgentError` when the agent cannot be reached or gives an unexpected response. For a request
 * that the agent refuses, it throws the same error as an import on this machine.
 */
export class AgentClient {
  readonly #options: AgentClientOptions;
  readonly #warnings = new Set<string>();

  constructor(options: AgentClientOptions) {
    this.#options = options;
  }

  /**
   * Asks what a package would change, and which blobs are missing. Unless `dryRun` is set, the package is pending then.
   */
  async plan(document: Omit<SignedDocument, "signatures">, { dryRun }: { dryRun: boolean }): Promise<PushPlan> {
    // Agents of crpe before signatures know the document alone.
    const bytes = document.text === undefined ? Uint8Array.from(document.bytes) : formatPackageTar(document);
    const body = bodyOf(bytes);
    const answer = await this.#send("POST", `/kubepkgs/plan${this.#query(dryRun)}`, { body });
    this.#reportWarnings(answer.document);
    return parsePlan(answer.document);
  }

  /** Returns the state of the upload of a blob. */
  async stateOf(digest: Digest): Promise<BlobState> {
    const { document } = await this.#send("GET", `/kubepkgs/blobs/${digest}`);
    const { held, offset, busy } = document;
    if (typeof held !== "boolean" || typeof busy !== "boolean" || !isSize(offset)) throw notAnAgent("an unknown state");
    return { digest, held, offset, busy };
  }

  /**
   * Sends the bytes of a blob from `start` to its end.
   *
   * @returns false when the agent had the blob by then, from another client
   * @throws {AgentError} with the status 404, 409 or 423 when the upload cannot be resumed at `start` now
   * @throws {CorruptError} when the complete blob has another digest
   */
  async putBlob(
    { digest, size, start }: { digest: Digest; size: number; start: number },
    stream: ReadableStream<Uint8Array>,
  ): Promise<boolean> {
    const body = { stream, length: size - start };
    const range = start === size ? `bytes */${size}` : `bytes ${start}-${size - 1}/${size}`;
    const { status } = await this.#send("PUT", `/kubepkgs/blobs/${digest}`, { body, range });
    return status !== ALREADY_HELD;
  }

  /** Sends a bundle and installs it. @returns the document that describes the installation */
  async install(body: AgentRequestBody, { dryRun = false } = {}): Promise<Record<string, unknown>> {
    const accept = `${NDJSON}, application/json`;
    const { document } = await this.#send("PUT", `/kubepkgs${this.#query(dryRun)}`, { body, accept });
    const { error, entry } = document;
    // The status of a failure after the first progress was already sent.
    if (isJsonObject(error)) throw errorOfAnswer(500, new TextEncoder().encode(JSON.stringify({ errors: [error] })));
    if (typeof entry === "string") throw new AgentError("its answer ends before the result", { isTransient: true });
    this.#reportWarnings(document);
    return document;
  }

  // The answer to an installation no longer warns of what its plan has replaced.
  #reportWarnings({ warnings, packages }: Record<string, unknown>): void {
    const each = Array.isArray(packages) ? packages.filter(isJsonObject).map((one) => one.warnings) : [];
    for (const text of [warnings, ...each].flatMap((it) => textsOf(it) ?? [])) {
      if (!this.#warnings.has(text)) this.#options.onWarning?.(text);
      this.#warnings.add(text);
    }
  }

  #query(dryRun: boolean): string {
    const { force, pruneData = false } = this.#options;
    const switches = { "dry-run": dryRun, force, "prune-data": pruneData };
    const flags = Object.entries(switches).filter(([, isSet]) => isSet).map(([name]) => `${name}=true`);
    return flags.length === 0 ? "" : `?${flags.join("&")}`;
  }

  async #send(
    method: string,
    path: string,
    { body, range, accept = "application/json" }: { body?: AgentRequestBody; range?: string; accept?: string } = {},
  ): Promise<{ status: number; document: Record<string, unknown> }> {
    const { url, token, send } = this.#options;
    const { stallTimeout = STALL_MILLISECONDS, answerTimeout = ANSWER_MILLISECONDS, rateLimit } = this.#options;
    const limit = (stream: ReadableStream<Uint8Array>) => rateLimit?.limit(stream) ?? stream;
    // An agent only has to sync a blob. Some releases of the runtime do not report that the connection was cut meanwhile.
    const syncTimeout = stallTimeout + (body?.length ?? 0) / SLOWEST_SYNC;
    using watch = new RequestTimeout({
      stallTimeout,
      answerTimeout: range === undefined ? answerTimeout : Math.min(answerTimeout, syncTimeout),
    });
    if (body === undefined) watch.expectAnswer();
    try {
      const { status, bytes, location } = await send({
        method,
        url: `${url}${path}`,
        headers: {
          accept,
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { "content-type": "application/octet-stream" }),
          ...(range === undefined ? {} : { "content-range": range }),
        },
        body: body === undefined ? undefined : { ...body, stream: watch.follow(limit(body.stream)) },
        signal: watch.signal,
        onAnswer: () => watch.noteAnswer(),
      });
      if (status >= 200 && status < 300) return { status, document: parseDocument(bytes) };
      throw errorOfAnswer(status, bytes, location);
    } catch (error) {
      throw watch.failure ?? error;
    } finally {
      await watch.end();
    }
  }
}

/** Creates a request body from bytes in memory. */
export function bodyOf(bytes: Uint8Array<ArrayBuffer>): AgentRequestBody {
  return { stream: new Blob([bytes]).stream(), length: bytes.length };
}

function parseDocument(bytes: Uint8Array): Record<string, unknown> {
  const document = parseAnswer(bytes);
  if (isJsonObject(document)) return document;
  throw notAnAgent("something other than JSON");
}

function parsePlan(document: Record<string, unknown>): PushPlan {
  const { name, version, verdict, missing } = document;
  const isMissing = (line: unknown): line is MissingBlob =>
    isJsonObject(line) && isDigest(line.digest) && isSize(line.size) && isSize(line.offset);
  const texts = [name, version, verdict].every((text) => typeof text === "string");
  if (!texts || !Array.isArray(missing) || !missing.every(isMissing)) throw notAnAgent("an unknown plan");
  return document as unknown as PushPlan;
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
