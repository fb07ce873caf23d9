import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import { CorruptError } from "../../oci/error.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import type { BlobState, MissingBlob } from "../protocol.ts";
import { ANSWER_LIMITS, errorOfAnswer, noAgent } from "./agent_error.ts";
import { RequestTimeout } from "./request_timeout.ts";

/** What an agent says that a push would do. Fields beside these are those of an import's result. */
export interface PushPlan {
  readonly name: string;
  readonly version: string;
  readonly verdict: string;
  readonly missing: readonly MissingBlob[];
  readonly [field: string]: unknown;
}

/** A request to an agent. */
export interface AgentRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AgentRequestBody | undefined;
  readonly signal: AbortSignal;
}

/** Bytes for an agent, of which is known how many they are. */
export interface AgentRequestBody {
  readonly stream: ReadableStream<Uint8Array>;
  readonly length: number;
}

/** What an agent answered. */
export interface AgentAnswer {
  readonly status: number;
  /** Where a redirect points to. */
  readonly location?: string | undefined;
  readonly bytes: Uint8Array;
}

/** How an agent is asked. */
export interface AgentClientOptions {
  /** Without a slash at the end. */
  readonly url: string;
  readonly token: string;
  /** Sends a request, follows no redirect. @throws {AgentError} when no answer came */
  readonly send: (request: AgentRequest) => Promise<AgentAnswer>;
  /** Installs although the version rule forbids it. */
  readonly force: boolean;
  /** How long a connection may do nothing, in milliseconds. */
  readonly stallTimeout: number;
  /** How long the agent may take once it has all of a request, in milliseconds: it writes, and hands over. */
  readonly answerTimeout: number;
}

/** Speaks to the API of an agent. */
export class AgentClient {
  readonly #options: AgentClientOptions;

  constructor(options: AgentClientOptions) {
    this.#options = options;
  }

  /** Asks what a package would do, and what is lacking for it; unless `dryRun`, it counts as on its way then. */
  async plan(kubepkg: KubePkg, { dryRun }: { dryRun: boolean }): Promise<PushPlan> {
    const body = bodyOf(new TextEncoder().encode(JSON.stringify(kubepkg)));
    const answer = await this.#send("POST", `/kubepkgs/plan${this.#query(dryRun)}`, { body });
    return parsePlan(answer.document);
  }

  /** How far a blob is on its way. */
  async stateOf(digest: Digest): Promise<BlobState> {
    const { document } = await this.#send("GET", `/kubepkgs/blobs/${digest}`);
    const { held, offset, busy } = document;
    if (typeof held !== "boolean" || typeof busy !== "boolean" || !isSize(offset)) throw noAgent("an unknown state");
    return { digest, held, offset, busy };
  }

  /**
   * Sends the bytes of a blob from `start` on.
   *
   * @throws {AgentError} with the status of an answer that means that it cannot go on so: 404, 409, 422, 423
   */
  async putBlob(
    { digest, size, start }: { digest: Digest; size: number; start: number },
    stream: ReadableStream<Uint8Array>,
  ): Promise<void> {
    const body = { stream, length: size - start };
    const range = start === size ? `bytes */${size}` : `bytes ${start}-${size - 1}/${size}`;
    await this.#send("PUT", `/kubepkgs/blobs/${digest}`, { body, range });
  }

  /** Sends a bundle. @returns what the agent says of the installation */
  async install(body: AgentRequestBody, { dryRun = false } = {}): Promise<Record<string, unknown>> {
    return (await this.#send("PUT", `/kubepkgs${this.#query(dryRun)}`, { body })).document;
  }

  #query(dryRun: boolean): string {
    const flags = [...(dryRun ? ["dry-run=true"] : []), ...(this.#options.force ? ["force=true"] : [])];
    return flags.length === 0 ? "" : `?${flags.join("&")}`;
  }

  async #send(
    method: string,
    path: string,
    { body, range }: { body?: AgentRequestBody; range?: string } = {},
  ): Promise<{ status: number; document: Record<string, unknown> }> {
    const { url, token, send } = this.#options;
    using watch = new RequestTimeout(this.#options);
    if (body === undefined) watch.expectAnswer();
    try {
      const { status, bytes, location } = await send({
        method,
        url: `${url}${path}`,
        headers: {
          accept: "application/json",
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { "content-type": "application/octet-stream" }),
          ...(range === undefined ? {} : { "content-range": range }),
        },
        body: body === undefined ? undefined : { ...body, stream: watch.follow(body.stream) },
        signal: watch.signal,
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

/** A body of bytes that are in memory. */
export function bodyOf(bytes: Uint8Array<ArrayBuffer>): AgentRequestBody {
  return { stream: new Blob([bytes]).stream(), length: bytes.length };
}

function parseDocument(bytes: Uint8Array): Record<string, unknown> {
  try {
    const document = parseJson(bytes, "the answer", ANSWER_LIMITS);
    if (isJsonObject(document)) return document;
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
  }
  throw noAgent("something other than JSON");
}

function parsePlan(document: Record<string, unknown>): PushPlan {
  const { name, version, verdict, missing } = document;
  const isMissing = (line: unknown): line is MissingBlob =>
    isJsonObject(line) && isDigest(line.digest) && isSize(line.size) && isSize(line.offset);
  const texts = [name, version, verdict].every((text) => typeof text === "string");
  if (!texts || !Array.isArray(missing) || !missing.every(isMissing)) throw noAgent("an unknown plan");
  return document as unknown as PushPlan;
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
