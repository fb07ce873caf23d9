import { readBounded } from "../../bytes/read_bounded.ts";
import { otherArchive } from "../../bundle/other_archive.ts";
import { ifPresent } from "../../files/if_present.ts";
import { API_VERSION, isPackageName, isVersion, type KubePkg } from "../../kubepkg/kubepkg.ts";
import { kubePkgFromManifests, type ManifestSource } from "../../kubepkg/kubepkg_from_manifests.ts";
import { findNamespaceProblem } from "../../kubepkg/object_name.ts";
import { isKubePkgDocument, KUBEPKG_LIMITS, parseDocuments, readDocuments } from "../../kubepkg/read_kubepkg.ts";
import { cannot, CorruptError, CrpeError, UsageError } from "../../oci/error.ts";
import { isJsonObject } from "../../oci/json.ts";
import type { Invocation } from "../command_line/command.ts";
import type { Io } from "../console/io.ts";
import { readManifestFolder } from "./read_manifest_folder.ts";
import { isUrl, nameOfInput, readUrl } from "./read_url.ts";

/** Where a tar names its format, and the end of that name. */
const TAR_MAGIC = 257;
const ARCHIVE_START = 262;

/** What a package is called, from the flags. */
export interface PackageFlags {
  readonly name?: string;
  readonly version?: string;
  readonly namespace?: string;
}

/** The releases of an input. */
interface ReleaseInput {
  readonly packages: readonly KubePkg[];
  /** Whether the input is plain Kubernetes objects, which list no images. */
  readonly isPlain: boolean;
}

/**
 * Reads `--name`, `--version` and `--namespace`.
 *
 * @throws {UsageError} when one is not valid
 */
export function readPackageFlags(invocation: Invocation): PackageFlags {
  const [name, version, namespace] = ["name", "version", "namespace"].map((flag) => invocation.flag(flag));
  if (name !== undefined && !isPackageName(name)) {
    throw new UsageError(cannot(`use --name ${JSON.stringify(name)}`, "write a DNS name, like web or web.shop"));
  }
  if (version !== undefined && !isVersion(version)) {
    throw new UsageError(cannot(`use --version ${JSON.stringify(version)}`, "write a semantic version, like 1.2.3"));
  }
  if (namespace !== undefined && findNamespaceProblem(namespace) !== undefined) {
    throw new UsageError(cannot(`use --namespace ${JSON.stringify(namespace)}`, "write a DNS label, like shop"));
  }
  return { name, version, namespace };
}

/**
 * Reads releases from a file, a folder, an `http(s)` URL, or standard input (`-`): KubePkgs, or plain Kubernetes objects
 * that become one package by the name and version of the flags.
 *
 * @throws {UsageError} when the flags do not fit to what the input holds
 * @throws {CorruptError} when the input is neither
 */
export async function readRelease(where: string, flags: PackageFlags, io: Io): Promise<ReleaseInput> {
  const sources = await readSources(where, io);
  const documents = sources.flatMap(({ documents }) => documents);
  const given = Object.entries(flags).find(([, value]) => value !== undefined)?.[0];
  const shown = nameOfInput(where);
  if (
    documents.some(isKubePkgDocument) ||
    given === undefined && !(documents.length > 0 && documents.every(isPlainObject))
  ) {
    if (given !== undefined) {
      throw new UsageError(
        cannot(`use --${given} with ${shown}`, "it holds a KubePkg, which says this itself"),
      );
    }
    return { packages: sources.flatMap(({ what, documents }) => parseDocuments(documents, what)), isPlain: false };
  }
  const { name, version, namespace } = flags;
  if (name === undefined || version === undefined) {
    throw new UsageError(
      cannot(
        `pack ${shown}`,
        "it holds Kubernetes objects and no KubePkg",
        "give the package a name and a version with " +
          `--name and --version`,
      ),
    );
  }
  for (const { what, documents } of sources) documents.forEach((document) => refuseKustomization(document, what));
  return { packages: [kubePkgFromManifests(sources, { name, version, namespace })], isPlain: true };
}

async function readSources(where: string, io: Io): Promise<ManifestSource[]> {
  const { maxBytes } = KUBEPKG_LIMITS;
  const what = nameOfInput(where);
  const read = (bytes: Uint8Array, what: string) => {
    refuseArchive(bytes, what);
    return { what, documents: readDocuments(bytes, what) };
  };
  if (where === "-") return [read(await readBounded(io.stdin, what, maxBytes), what)];
  if (isUrl(where)) return [read(await readUrl(where, maxBytes), what)];
  const found = await ifPresent(Deno.stat(where));
  if (found === undefined) {
    throw new CrpeError(cannot(`use ${where}`, `there is no such file or folder${adviceFor(where)}`));
  }
  if (found.isDirectory) {
    return (await readManifestFolder(where, maxBytes)).map(({ path, bytes }) => read(bytes, path));
  }
  using file = await Deno.open(where);
  if ((await file.stat()).isFile) {
    // An archive may be larger than any release.
    const start = new Uint8Array(ARCHIVE_START);
    refuseArchive(start.subarray(0, await file.read(start) ?? 0), what);
    await file.seek(0, Deno.SeekMode.Start);
  }
  return [read(await readBounded(file.readable, what, maxBytes), what)];
}

// A name with a tag or a digest is hardly that of a file.
function adviceFor(where: string): string {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(where)) return "; of URLs, those of http and https are read";
  return /^[a-z0-9][^\s\\]*(?::[\w.-]+|@sha(?:256|384|512):[0-9a-f]+)$/.test(where)
    ? "; an image is packed by listing it in spec.images of a KubePkg, and crpe save writes it alone"
    : "";
}

function refuseArchive(bytes: Uint8Array, what: string): void {
  const isTar = new TextDecoder().decode(bytes.subarray(TAR_MAGIC, ARCHIVE_START)) === "ustar";
  const isCompressed = ["1f8b", "28b52ffd"].some((magic) => bytes.subarray(0, magic.length / 2).toHex() === magic);
  if (!isTar && !isCompressed) return;
  throw otherArchive(
    cannot(`pack ${what}`, "it is an archive, not a release", "crpe load reads images, and crpe import reads bundles"),
  );
}

function isPlainObject(document: unknown): boolean {
  return isJsonObject(document) && typeof document.apiVersion === "string" && typeof document.kind === "string" &&
    document.apiVersion !== API_VERSION;
}

// kubectl reads these files itself, and no cluster has such objects.
function refuseKustomization(document: unknown, what: string): void {
  if (!isJsonObject(document) || !String(document.apiVersion).startsWith("kustomize.config.k8s.io/")) return;
  throw new CorruptError(
    cannot(`use ${what}`, "it is an input of kustomize and not an object", "pack the output of kubectl kustomize"),
  );
}
