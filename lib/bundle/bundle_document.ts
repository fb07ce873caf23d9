import type { KubePkg, PackagePart, StatusDelta } from "../kubepkg/kubepkg.ts";
import { readKubePkgsJson } from "../kubepkg/read_kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { declaredDeltas } from "./declared_deltas.ts";
import { declaredSizesOfAll } from "./declared_sizes.ts";
import { ENTRY_NAME } from "./entry_names.ts";

/** The `kubepkg.json` of a bundle: its packages, and the content that they declare. */
export class BundleDocument {
  /** The packages of the bundle, in its order; at least one. */
  readonly packages: readonly KubePkg[];
  /** The bytes of `kubepkg.json`, which signatures are made of. */
  readonly document: Uint8Array;
  /** The digests that the packages declare, with their sizes in bytes. */
  readonly declared: ReadonlyMap<Digest, number> | undefined;
  /** The deltas that the packages declare, by the layer that each makes. */
  readonly deltas: ReadonlyMap<Digest, StatusDelta>;
  /** The same deltas, by the digest that each has itself. */
  readonly deltasByDigest: ReadonlyMap<Digest, StatusDelta>;
  /** Set for a part of a split bundle. */
  readonly part: PackagePart | undefined;
  /** Name of the bundle in errors. */
  readonly what: string;

  /**
   * @param what name of the bundle in errors
   * @throws {CorruptError} when the bytes are not a valid document, or its packages cannot be in one bundle
   */
  constructor(bytes: Uint8Array, what: string) {
    this.document = bytes;
    this.what = what;
    this.packages = readKubePkgsJson(bytes, `${ENTRY_NAME.kubepkg} of ${what}`);
    this.#checkPackages();
    this.declared = declaredSizesOfAll(this.packages, what);
    this.deltas = declaredDeltas(this.packages, what);
    this.deltasByDigest = new Map([...this.deltas.values()].map((it) => [it.delta, it]));
    this.part = this.packages[0]?.status?.part;
  }

  /** The only package of the bundle. @throws {CorruptError} when it has several */
  get kubepkg(): KubePkg {
    const [kubepkg, ...others] = this.packages;
    if (kubepkg !== undefined && others.length === 0) return kubepkg;
    const names = this.packages.slice(0, 10).map(({ metadata }) => metadata.name).join(", ");
    throw this.refuse(`it holds ${this.packages.length} packages (${names}), one is expected`);
  }

  /** Reads the text of `kubepkg.json.sig`; `undefined` if there is none, as behind a document alone. */
  readSignatures(): Promise<string | undefined> {
    return Promise.resolve(undefined);
  }

  /** Creates the error for a bundle that cannot be used. */
  refuse(reason: string): CorruptError {
    return new CorruptError(cannot(`use ${this.what}`, reason));
  }

  // No two packages are the same, and a part of a split bundle is alone.
  #checkPackages(): void {
    if (this.packages.length === 1) return;
    const seen = new Set<string>();
    for (const { metadata: { name, namespace }, status } of this.packages) {
      if (status?.part !== undefined) {
        throw this.refuse(`${name} is a part of a split bundle, which cannot hold other packages`);
      }
      const key = `${namespace}/${name}`;
      if (seen.has(key)) throw this.refuse(`it holds the package ${key} twice`);
      seen.add(key);
    }
  }
}
