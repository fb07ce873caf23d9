import { BundleDocument } from "../bundle/bundle_document.ts";
import { declaredDeltas } from "../bundle/declared_deltas.ts";
import { declaredSizes } from "../bundle/declared_sizes.ts";
import type { AuditActor } from "../files/audit_log.ts";
import { ImportAudit } from "../install/audit_import.ts";
import { planInstallation } from "../install/install_bundle.ts";
import { describeResult } from "../install/install_result.ts";
import { withDeltas } from "../install/pending_packages.ts";
import { absentIfBroken } from "../install/records/record_file.ts";
import { readSignedDocument } from "../install/trust.ts";
import { readBundle } from "../bundle/read_bundle.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { ENTRY_NAME } from "../bundle/entry_names.ts";
import { packageIdOf } from "../kubepkg/package_id.ts";
import { PACKED_LIMITS } from "../kubepkg/read_kubepkg.ts";
import { identityOf } from "../kubepkg/version.ts";
import { cannot, RegistryError, TooLargeError } from "../oci/error.ts";
import { answerJson } from "./answer.ts";
import type { AgentOptions } from "./options.ts";
import type { MissingBlob } from "./protocol.ts";
import { readInstallSwitches, RequestBody } from "./request_body.ts";

const WHAT = "kubepkg.json";
/** The most bytes that a tar has besides `kubepkg.json`: headers, signatures and its end. */
const MAX_TAR_BYTES = 32_768;

/**
 * `POST /kubepkgs/plan`: the first step of a push. The body is a `kubepkg.json`, or, with its signatures, the tar of both
 * entries. The answer is the same as for a dry
 * run, with a list `missing` of `{digest, size, offset}`.
 *
 * Unless it is a dry run (`?dry-run=true`), the package is pending from now on: its blobs may be sent, and those that
 * were received are neither collected nor evicted.
 *
 * @param by who pushes, for the audit log
 * @throws {RegistryError} `INVALID` for a part, or a package that does not list its digests
 * @throws {TooLargeError} when the missing content is larger than allowed
 * @throws as `planInstallation` does, for a package that would be refused
 */
export async function postPlan(request: Request, options: AgentOptions, by: AuditActor = {}): Promise<Response> {
  const { force, dryRun, pruneData } = readInstallSwitches(new URL(request.url).searchParams);
  const body = new RequestBody(request, { stallTimeout: options.stallTimeout });
  const bytes = await body.readAll(PACKED_LIMITS.maxBytes + MAX_TAR_BYTES).finally(() => body.close());
  // JSON never begins with the name of an entry.
  const isTar = bytes[0] === ENTRY_NAME.kubepkg.charCodeAt(0);
  const bundle = isTar ? await readBundle(new Blob([bytes]).stream(), { what: WHAT }) : new BundleDocument(bytes, WHAT);
  const { kubepkg } = bundle;
  if (kubepkg.status?.part !== undefined) {
    throw new RegistryError("INVALID", cannot("plan a part of a package", "send the part itself to /kubepkgs"));
  }
  const missing = await listMissing(kubepkg, options);
  const rest = missing.reduce((sum, { size, offset }) => sum + size - offset, 0);
  if (options.maxBundle !== undefined && rest > options.maxBundle) {
    throw new TooLargeError(cannot("accept the push", `it would send ${rest} bytes, ${options.maxBundle} are allowed`));
  }
  const { store, records, handover, freeBytes } = options;
  const trust = await options.readTrust?.();
  const signed = await readSignedDocument(bundle, trust);
  const result = await planInstallation(bundle, signed, {
    ...{ trust, store, records, handover, force, pruneData, freeBytes },
  });
  // A package that would be refused in the end is refused now, before blobs are sent or another pending release is
  // replaced.
  if (result.plan.refusal !== undefined) {
    const { metadata: { name, namespace }, spec: { version } } = kubepkg;
    if (!dryRun) await new ImportAudit(options.audit, by).end([{ name, namespace, version, result }]);
    throw result.plan.refusal;
  }
  const isWanted = result.plan.verdict !== "same" || result.plan.isRepair || force;
  if (isWanted && !dryRun) await recordPending(kubepkg, options);
  return answerJson({ ...describeResult(result, dryRun), missing: isWanted ? missing : [] });
}

async function listMissing(kubepkg: KubePkg, { store }: AgentOptions): Promise<MissingBlob[]> {
  const sizes = declaredSizes(kubepkg, "the push");
  if (sizes === undefined) {
    throw new RegistryError(
      "INVALID",
      cannot("plan a package that does not list its digests", "send the bundle itself to /kubepkgs"),
    );
  }
  const omitted = new Set(kubepkg.status?.omitted ?? []);
  const deltas = declaredDeltas([kubepkg], "the push");
  const missing: MissingBlob[] = [];
  for (const [digest, size] of sizes) {
    if (omitted.has(digest) || await store.statBlob("", digest) === size) continue;
    // Of a layer that has a delta, that is sent.
    const delta = deltas.get(digest);
    const sent = delta === undefined ? { digest, size } : { digest: delta.delta, size: delta.size };
    if (delta !== undefined && await store.statBlob("", sent.digest) === sent.size) continue;
    const offset = await store.statIngest(sent.digest);
    missing.push({ ...sent, offset: offset > sent.size ? 0 : offset });
  }
  return missing;
}

// If parts of the same release were imported before, the record of them is kept. The deltas are noted in it, so that they
// may be sent, and their bases stay.
async function recordPending(kubepkg: KubePkg, { records, takeLease }: AgentOptions): Promise<void> {
  using _lease = await takeLease();
  // A record that cannot be read is replaced.
  const pending = await records.pending.read(packageIdOf(kubepkg)).catch(absentIfBroken);
  const hasParts = pending?.part !== undefined && identityOf(pending.kubepkg) === identityOf(kubepkg);
  await records.pending.write(hasParts ? withDeltas(pending, kubepkg.status?.deltas) : { kubepkg });
}
