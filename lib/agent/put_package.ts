import type { BundleProgress } from "../bundle/pack_bundle.ts";
import { installBundle, type InstallResult } from "../install/install_bundle.ts";
import type { ImportPlan } from "../install/plan_import.ts";
import { RegistryError } from "../oci/error.ts";
import { answerJson, type ImportOutcome, outcomeOf, toApiError } from "./answer.ts";
import { NdjsonStream } from "./ndjson_stream.ts";
import type { AgentOptions } from "./options.ts";
import { readSwitch, RequestBody } from "./request_body.ts";

const NDJSON = "application/x-ndjson";
const PROGRESS_MILLISECONDS = 250;

/**
 * `PUT /kubepkgs`: installs a bundle while its bytes, the body of the request, are received.
 *
 * The answer is the result as JSON. A client that accepts `application/x-ndjson` receives progress lines
 * `{"bytes","total","entry"}`, and the result as the last line. A failure before the first blob has its own status. A
 * later failure is the last line, `{"error":{"code","message"}}`, because the status was already sent.
 *
 * @throws {RegistryError} `INVALID` for a wrong query or a request with `Content-Range`
 * @throws as `installBundle` does, unless the answer has started
 */
export async function putPackage(request: Request, options: AgentOptions): Promise<Response> {
  const query = new URL(request.url).searchParams;
  const [force, dryRun] = [readSwitch(query, "force"), readSwitch(query, "dry-run")];
  const pruneData = readSwitch(query, "prune-data");
  if (request.headers.has("content-range")) {
    throw new RegistryError(
      "INVALID",
      "Cannot accept a byte range of a bundle: send the whole bundle, or use crpe push, which resumes",
    );
  }
  const importing = new PackageImport(request, options, { force, dryRun, pruneData });
  if (!acceptsLines(request.headers)) return answerJson(await importing.run());

  const lines = new NdjsonStream();
  const begun = Promise.withResolvers<void>();
  let shownAt = -Infinity;
  const work = importing.run((progress) => {
    begun.resolve();
    const at = options.now();
    if (at - shownAt < PROGRESS_MILLISECONDS) return;
    shownAt = at;
    lines.offer(progress);
  });
  // The import is awaited below, but may fail before that; this is not an unhandled rejection.
  work.catch(() => {});
  await Promise.race([begun.promise, work]);
  work.then((result) => lines.end(result), (error) => {
    const { code, message } = toApiError(error, options.describeError);
    lines.end({ error: { code, message } });
  });
  return new Response(lines.readable as BodyInit, {
    headers: { "content-type": NDJSON, "cache-control": "no-store, no-transform" },
  });
}

/** Returns the JSON document that describes an installation to a client. */
export function describeInstall(result: InstallResult, dryRun: boolean): Record<string, unknown> {
  const { plan, images, blobs, isImported, isConfirmed: confirmed, kubepkg: _, ...more } = result;
  const { blobs: planned, isRepair, refusal: _refusal, ...what } = plan;
  return {
    ...what,
    dryRun,
    imported: isImported,
    repaired: isImported && isRepair,
    images,
    blobs: { ...planned, ...(isImported || more.part !== undefined ? blobs : {}) },
    ...more,
    ...(confirmed === undefined ? {} : { confirmed }),
  };
}

interface InstallFlags {
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly pruneData: boolean;
}

class PackageImport {
  readonly #body: RequestBody;
  readonly #options: AgentOptions;
  readonly #flags: InstallFlags;
  #plan: ImportPlan | undefined;

  constructor(request: Request, options: AgentOptions, flags: InstallFlags) {
    const { maxBundle: limit, stallTimeout } = options;
    this.#body = new RequestBody(request, { limit, stallTimeout });
    this.#options = options;
    this.#flags = flags;
  }

  async run(onProgress?: (progress: BundleProgress) => void): Promise<Record<string, unknown>> {
    const started = this.#options.now();
    const report = (outcome: ImportOutcome, result?: InstallResult, error?: unknown) => {
      const { name, namespace, version, verdict, installedVersion } = result?.plan ?? this.#plan ?? {};
      this.#options.onImport({
        outcome,
        ...(name === undefined ? {} : { name, namespace, version, verdict, installedVersion }),
        received: this.#body.received,
        written: result?.blobs.bytesWritten ?? 0,
        duration: this.#options.now() - started,
        ...(error === undefined ? {} : { error }),
      });
    };
    try {
      const result = await this.#install(onProgress);
      if (!this.#flags.dryRun) report(outcomeOfResult(result), result);
      return describeInstall(result, this.#flags.dryRun);
    } catch (error) {
      report(outcomeOf(error), undefined, error);
      throw error;
    } finally {
      await this.#body.close();
    }
  }

  async #install(onProgress?: (progress: BundleProgress) => void): Promise<InstallResult> {
    const { store, records, handover, freeBytes, takeLease } = this.#options;
    const body = this.#body;
    using _lease = this.#flags.dryRun ? undefined : await takeLease();
    const result = await installBundle(body.stream, {
      ...this.#flags,
      store,
      records,
      handover,
      freeBytes,
      onPlan: (plan) => this.#plan = plan,
      onRead: () => body.finish(),
      ...(onProgress === undefined ? {} : { onProgress }),
    });
    if (result.plan.refusal !== undefined) throw result.plan.refusal;
    // If there was nothing to install, and in a dry run, only the start of the body was read. The rest is read now,
    // because a client that receives an answer in the middle of its request may report a failure, as curl does, and
    // because a `Content-Digest` is then verified.
    if (!result.isImported && (result.part === undefined || this.#flags.dryRun)) await body.finish();
    return result;
  }
}

function outcomeOfResult({ isImported, plan, part }: InstallResult): ImportOutcome {
  if (!isImported) return part !== undefined && part.missing.length > 0 ? "part" : "same";
  return plan.isRepair ? "repaired" : "imported";
}

// RFC 9110, 12.5.1: a weight of 0 means "not acceptable".
function acceptsLines(headers: Headers): boolean {
  return (headers.get("accept") ?? "").split(",").some((range) => {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    return type === NDJSON && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter));
  });
}
