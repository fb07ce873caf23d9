import type { BundleProgress } from "../bundle/bundle_progress.ts";
import type { AuditActor } from "../files/audit_log.ts";
import { acceptsType } from "../http/accepted_type.ts";
import { ImportAudit, outcomeOfResult } from "../install/audit_import.ts";
import { installPackages } from "../install/install_bundle.ts";
import { describeResult, type InstallResult, type PackageOutcome } from "../install/install_result.ts";
import type { ImportPlan } from "../install/import_plan.ts";
import { cannot, CrpeError, RegistryError } from "../oci/error.ts";
import { answerJson, type ImportOutcome, outcomeOf, toApiError } from "./answer.ts";
import { NdjsonStream } from "./ndjson_stream.ts";
import type { AgentOptions } from "./options.ts";
import { NDJSON } from "./protocol.ts";
import { type InstallSwitches, readInstallSwitches, RequestBody } from "./request_body.ts";

const PROGRESS_MILLISECONDS = 250;

/**
 * `PUT /kubepkgs`: installs a bundle while its bytes, the body of the request, are received.
 *
 * The answer is the result as JSON; for a bundle of several packages `{"packages":[…]}` with a result for each. If one of
 * these fails, the answer is the error with the highest status, and its `detail.packages` says how each ended.
 *
 * A client that accepts `application/x-ndjson` receives progress lines `{"bytes","total","entry"}`, and the result as the
 * last line. A failure before the first blob has its own status. A later failure is the last line,
 * `{"error":{"code","message"}}`, because the status was already sent.
 *
 * @param by who imports, for the audit log
 * @throws {RegistryError} `INVALID` for a wrong query or a request with `Content-Range`
 * @throws as `installPackages` does, unless the answer has started
 */
export async function putPackage(request: Request, options: AgentOptions, by: AuditActor = {}): Promise<Response> {
  const flags = readInstallSwitches(new URL(request.url).searchParams);
  if (request.headers.has("content-range")) {
    throw new RegistryError(
      "INVALID",
      cannot("accept a byte range of a bundle", "send the whole bundle, or use crpe push, which resumes"),
    );
  }
  const importing = new ReceivedImport(request, options, { flags, by });
  if (!acceptsType(request.headers, NDJSON)) return answerJson(await importing.run());

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
    lines.end({ error: toApiError(error, options.describeError).toJSON().errors[0] });
  });
  return new Response(lines.readable as BodyInit, {
    headers: { "content-type": NDJSON, "cache-control": "no-store, no-transform" },
  });
}

interface FailedImport {
  readonly error?: unknown;
  /** The package that failed, where the bundle could be read. */
  readonly named?: string;
}

class ReceivedImport {
  readonly #body: RequestBody;
  readonly #options: AgentOptions;
  readonly #flags: InstallSwitches;
  readonly #plans: ImportPlan[] = [];

  readonly #audit: ImportAudit;

  constructor(request: Request, options: AgentOptions, { flags, by }: { flags: InstallSwitches; by: AuditActor }) {
    const { maxBundle: limit, stallTimeout } = options;
    this.#body = new RequestBody(request, { limit, stallTimeout });
    this.#options = options;
    this.#flags = flags;
    this.#audit = new ImportAudit(options.audit, by);
  }

  async run(onProgress?: (progress: BundleProgress) => void): Promise<Record<string, unknown>> {
    const started = this.#options.now();
    const report = (outcome: ImportOutcome, result?: InstallResult, { error, named }: FailedImport = {}) => {
      const plan = result?.plan ?? this.#plans.find(({ name }) => named === undefined || name === named);
      const { name = named, namespace, version, verdict, installedVersion, trust } = plan ?? {};
      this.#options.onImport({
        outcome,
        ...(name === undefined ? {} : { name, namespace, version, verdict, installedVersion, trust }),
        received: this.#body.received,
        written: result?.blobs.bytesWritten ?? 0,
        duration: this.#options.now() - started,
        error,
      });
    };
    try {
      const outcomes = await this.#install(onProgress).catch((error) => {
        report(outcomeOf(error), undefined, { error });
        throw error;
      });
      for (const { name, result, error } of outcomes) {
        const failure = result === undefined ? error : result.plan.refusal;
        if (failure !== undefined) report(outcomeOf(failure), undefined, { error: failure, named: name });
        else if (result !== undefined && !this.#flags.dryRun) report(outcomeOfResult(result), result);
      }
      return this.#describe(outcomes);
    } finally {
      await this.#body.close();
    }
  }

  #describe(outcomes: readonly PackageOutcome[]): Record<string, unknown> {
    const { dryRun } = this.#flags;
    const { describeError } = this.#options;
    const packages = outcomes.map(({ result, error, ...name }) => {
      const failure = result === undefined ? error : result.plan.refusal;
      const document = result === undefined ? { ...name, dryRun, imported: false } : describeResult(result, dryRun);
      return { document, failure };
    });
    const failures = packages.map(({ failure }) => failure).filter((failure) => failure !== undefined);
    const [only, ...others] = packages;
    if (only !== undefined && others.length === 0) {
      if (failures.length > 0) throw failures[0];
      return only.document;
    }
    const documents = packages.map(({ document, failure }) => {
      if (failure === undefined) return document;
      return { ...document, error: toApiError(failure, describeError).toJSON().errors[0] };
    });
    if (failures.length === 0) return { packages: documents };
    const errors = failures.map((failure) => toApiError(failure, describeError));
    const worst = errors.reduce((a, b) => b.status > a.status ? b : a);
    const messages = errors.map(({ message }) => message).join("; ");
    const overrule = failures.find((failure) => failure instanceof CrpeError)?.overrule;
    throw new RegistryError(worst.code, messages, {
      detail: { packages: documents, overrule },
    });
  }

  async #install(onProgress?: (progress: BundleProgress) => void): Promise<PackageOutcome[]> {
    const { store, records, handover, freeBytes, takeLease } = this.#options;
    const body = this.#body;
    using _lease = this.#flags.dryRun ? undefined : await takeLease();
    const outcomes = await installPackages(body.stream, {
      ...this.#flags,
      store,
      records,
      handover,
      freeBytes,
      node: this.#options.node.id,
      audit: this.#audit,
      trust: await this.#options.readTrust?.(),
      onPlan: (plan) => this.#plans.push(plan),
      onRead: () => body.finish(),
      onProgress,
    });
    if (outcomes.some(({ result }) => result === undefined || result.plan.refusal !== undefined)) return outcomes;
    // If there was nothing to install, and in a dry run, only the start of the body was read. The rest is read now,
    // because a client that receives an answer in the middle of its request may report a failure, as curl does, and
    // because a `Content-Digest` is then verified.
    const isRead = outcomes.some(({ result }) => result?.isImported || result?.part !== undefined);
    if (!isRead || this.#flags.dryRun) await body.finish();
    return outcomes;
  }
}
