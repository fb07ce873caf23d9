import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { ANSWER_LIMITS, errorOfAnswer, noAgent } from "./agent_error.ts";
import type { BlobState } from "./blob_uploads.ts";
import type { MissingBlob } from "./push_plan.ts";
import { RequestWatch } from "./request_watch.ts";

/** What an agent says that a push would do. Fields beside these are those of an import's result. */
export interface PushPlan {
  readonly name: string;
  readonly version: string;
  readonly verdict: string;
  readonly missing: readonly MissingBlob[];
  readonly [field: string]: unknown;
}

/** How an agent is asked. */
export interface AgentClientOptions {
  /** Without a slash at the end. */
  readonly url: string;
  readonly token: string;
  /** Sends a request, follows no redirect. @throws {AgentError} when no answer came */
  readonly fetch: (request: Request) => Promise<Response>;
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
    const query = new URLSearchParams({ ...(dryRun ? { "dry-run": "true" } : {}), ...this.#force });
    const body = new Blob([JSON.stringify(kubepkg)]).stream();
    const answer = await this.#send("POST", `/kubepkgs/plan?${query}`, { body });
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
    body: ReadableStream<Uint8Array>,
  ): Promise<void> {
    const range = start === size ? `bytes */${size}` : `bytes ${start}-${size - 1}/${size}`;
    await this.#send("PUT", `/kubepkgs/blobs/${digest}`, { body, range });
  }

  /** Sends a bundle. @returns what the agent says of the installation */
  async install(body: ReadableStream<Uint8Array>, { dryRun = false } = {}): Promise<Record<string, unknown>> {
    const query = new URLSearchParams({ ...(dryRun ? { "dry-run": "true" } : {}), ...this.#force });
    return (await this.#send("PUT", `/kubepkgs?${query}`, { body })).document;
  }

  get #force(): Record<string, string> {
    return this.#options.force ? { force: "true" } : {};
  }

  async #send(
    method: string,
    path: string,
    { body, range }: { body?: ReadableStream<Uint8Array>; range?: string } = {},
  ): Promise<{ status: number; document: Record<string, unknown> }> {
    const { url, token, fetch } = this.#options;
    using watch = new RequestWatch(this.#options);
    const sent = body === undefined ? undefined : watch.follow(body);
    if (body === undefined) watch.expectAnswer();
    const request = new Request(`${url}${path}`, {
      method,
      headers: {
        accept: "application/json",
        authorization: `Bearer ${token}`,
        ...(range === undefined ? {} : { "content-range": range }),
      },
      ...(sent === undefined ? {} : { body: sent as BodyInit }),
      redirect: "manual",
      signal: watch.signal,
    });
    try {
      const response = await fetch(request);
      const { status } = response;
      const bytes = await readAnswer(response);
      if (status >= 200 && status < 300) return { status, document: parseDocument(bytes) };
      throw errorOfAnswer(status, bytes, response.headers);
    } catch (error) {
      if (watch.failure !== undefined) throw watch.failure;
      throw error;
    } finally {
      await watch.end();
    }
  }
}

async function readAnswer({ body }: Response): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  if (body !== null) {
    for await (const piece of body) {
      pieces.push(piece);
      length += piece.length;
      if (length > ANSWER_LIMITS.maxBytes) throw noAgent("an answer that has no end");
    }
  }
  return new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer());
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
