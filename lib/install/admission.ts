import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatPackageId, formatRelease, isSamePackage, packageIdOf } from "../kubepkg/package_id.ts";
import { cannot, UntrustedError } from "../oci/error.ts";
import { formatReference } from "../oci/reference.ts";
import type { SignedDocument } from "../signature/trust_policy.ts";
import type { PackageRecords } from "./package_records.ts";
import { decideTrust, type SiteTrust, type TrustDecision } from "./trust.ts";

/** What a site with trusted keys requires of a release besides its signatures, and the evidence that it keeps. */
export class Admission {
  readonly #records: PackageRecords;
  readonly #trust: SiteTrust | undefined;

  constructor(records: PackageRecords, trust: SiteTrust | undefined) {
    this.#records = records;
    this.#trust = trust;
  }

  /** Decides whether a release is trusted. @param document the document of its bundle */
  async decide(kubepkg: KubePkg, document: SignedDocument): Promise<TrustDecision> {
    return await decideTrust(kubepkg, document, { trust: this.#trust, action: "import" });
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
        cannot(
          `import ${formatRelease(kubepkg)}`,
          `${taken[0]} is an image of the installed package ${
            formatPackageId(packageIdOf(other))
          }, with another digest; a site with trusted keys does not let one package replace the images of another`,
        ),
      );
    }
    return undefined;
  }

  /**
   * Decides again whether a release is trusted, because another first import may have recorded its keys since the plan
   * was made, and records the evidence, before anything of the release is installed. The caller holds the installation
   * lock.
   *
   * @throws {UntrustedError} when it is not trusted, or its tags are those of another package
   */
  async admit(kubepkg: KubePkg, document: SignedDocument): Promise<void> {
    const { verdict, refusal, firstKeys } = await this.decide(kubepkg, document);
    const reason = refusal ?? await this.findRefusal(kubepkg);
    if (reason !== undefined) throw reason;
    if (firstKeys !== undefined) await this.#trust?.firstUse?.write(packageIdOf(kubepkg), firstKeys);
    const { bytes, text } = document;
    if (text === undefined) return;
    // A byte order mark was signed too.
    const evidence = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
    await this.#records.trust.write(kubepkg, { verdict, document: evidence, signatures: text });
  }
}

function digestsOf(kubepkg: KubePkg): Map<string, string> {
  return new Map(
    imagesOf(kubepkg).flatMap(({ reference, digest }) =>
      digest === undefined || reference.tag === undefined ? [] : [[formatReference(reference), digest] as const]
    ),
  );
}
