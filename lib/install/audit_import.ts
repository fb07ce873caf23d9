import type { AuditActor, AuditEntry, AuditLog } from "../files/audit_log.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { packageIdOf } from "../kubepkg/package_id.ts";
import { RefusedError } from "../oci/error.ts";
import type { TrustVerdict } from "../signature/trust_policy.ts";
import type { ImportPlan } from "./import_plan.ts";
import type { InstallResult, PackageOutcome } from "./install_result.ts";

/** The lines of one import in the audit log: a begin for each package that is installed, and an end for every package. */
export class ImportAudit {
  readonly #log: AuditLog | undefined;
  readonly #by: AuditActor;
  readonly #id = crypto.randomUUID();

  /** @param log `undefined`: nothing is logged, as for a dry run */
  constructor(log: AuditLog | undefined, by: AuditActor) {
    this.#log = log;
    this.#by = by;
  }

  /** Writes the begin, before anything of the package is visible. @throws {Error} when it cannot be written */
  readonly begin = async (kubepkg: KubePkg, plan: ImportPlan): Promise<void> => {
    const { name, namespace } = packageIdOf(kubepkg);
    await this.#log?.begin(this.#id, this.#entry({ name, namespace, version: kubepkg.spec.version }, plan));
  };

  /** Writes the ends. */
  async end(outcomes: readonly PackageOutcome[]): Promise<void> {
    for (const { name, namespace, version, result, error } of outcomes) {
      const failure = result === undefined ? error : result.plan.refusal;
      const entry = this.#entry({ name, namespace, version }, result?.plan);
      await this.#log?.end(this.#id, entry, {
        result: failure === undefined
          ? outcomeOfResult(result!)
          : failure instanceof RefusedError
          ? "refused"
          : "failed",
        error: failure,
      });
    }
  }

  /** Writes the end of an import whose bundle could not be read. */
  async fail(error: unknown): Promise<void> {
    const result = error instanceof RefusedError ? "refused" : "failed";
    await this.#log?.end(this.#id, { action: "import", by: this.#by }, { result, error });
  }

  #entry(what: { name: string; namespace: string; version: string }, plan: ImportPlan | undefined): AuditEntry {
    const { verdict, installedVersion, trust } = plan ?? {};
    return { action: "import", by: this.#by, ...what, verdict, installedVersion, ...describeTrust(trust) };
  }
}

/** Describes a verdict about signatures for the audit log. */
function describeTrust(trust: TrustVerdict | undefined): Record<string, unknown> {
  if (trust === undefined) return {};
  return { trust: trust.state, keys: trust.keys.length === 0 ? undefined : trust.keys.map(({ id }) => id) };
}

/** Names how an installation ended that did not fail. `part`: other parts of the bundle are missing. */
export function outcomeOfResult({ isImported, plan, part }: InstallResult): "imported" | "repaired" | "part" | "same" {
  if (isImported) return plan.isRepair ? "repaired" : "imported";
  return part !== undefined && part.missing.length > 0 ? "part" : "same";
}
