import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatPackageId, formatRelease, isSamePackage, packageIdOf } from "../kubepkg/package_id.ts";
import { UntrustedError } from "../oci/error.ts";
import { formatReference } from "../oci/reference.ts";
import type { TrustVerdict } from "../signature/trust_policy.ts";
import type { SignedRelease } from "./import_package.ts";
import type { PackageRecords } from "./package_records.ts";
import type { SiteTrust } from "./trust.ts";

/** What a site with trusted keys requires of a release besides its signatures, and the evidence that it keeps. */
export class Admission {
  readonly #records: PackageRecords;
  readonly #trust: SiteTrust | undefined;

  constructor(records: PackageRecords, trust: SiteTrust | undefined) {
    this.#records = records;
    this.#trust = trust;
  }

  /**
   * Finds a tag of the release that an installed package of another name has with another digest. Anyone who may sign one
   * package would replace the images of another one with it.
   */
  async findRefusal(kubepkg: KubePkg): Promise<UntrustedError | undefined> {
    if (this.#trust === undefined) return undefined;
    const own = digestsOf(kubepkg);
    if (own.size === 0) return undefined;
    for (const other of (await this.#records.scan()).packages) {
      if (isSamePackage(packageIdOf(other), packageIdOf(kubepkg))) continue;
      const taken = [...digestsOf(other)].find(([tag, digest]) => (own.get(tag) ?? digest) !== digest);
      if (taken === undefined) continue;
      return new UntrustedError(
        `Cannot import ${formatRelease(kubepkg)}: ${taken[0]} is an image of the installed package ${
          formatPackageId(packageIdOf(other))
        }, with another digest; a site with trusted keys does not let one package replace the images of another`,
      );
    }
    return undefined;
  }

  /** Keeps the evidence of a release that is trusted, before anything of it is installed. The caller holds the lock. */
  async record(kubepkg: KubePkg, verdict: TrustVerdict, { bytes, text, firstKeys }: SignedRelease): Promise<void> {
    if (firstKeys !== undefined) await this.#trust?.firstUse?.write(packageIdOf(kubepkg), firstKeys);
    if (text === undefined) return;
    // A byte order mark was signed too.
    const document = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
    await this.#records.trust.write(kubepkg, { verdict, document, signatures: text });
  }
}

function digestsOf(kubepkg: KubePkg): Map<string, string> {
  return new Map(
    imagesOf(kubepkg).flatMap(({ reference, digest }) =>
      digest === undefined || reference.tag === undefined ? [] : [[formatReference(reference), digest] as const]
    ),
  );
}
