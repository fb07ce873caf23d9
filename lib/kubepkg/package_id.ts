import { DNS_NAME, isPackageName, type KubePkg } from "./kubepkg.ts";

/** The namespace of a package that names none. */
export const DEFAULT_NAMESPACE = "default";

/** Longest namespace in characters. */
const MAX_NAMESPACE = 63;

/** What identifies a package: two packages of one name in two namespaces are two packages. */
export interface PackageId {
  readonly namespace: string;
  readonly name: string;
}

/** A package as a user names it: `web` or `shop/web`. */
export interface PackageSelector {
  /** `undefined`: any namespace. */
  readonly namespace: string | undefined;
  readonly name: string;
}

/** Returns the identity of the package that a document is a release of. */
export function packageIdOf({ metadata: { namespace, name } }: Pick<KubePkg, "metadata">): PackageId {
  return { namespace, name };
}

/** Reports whether two identities are the same. */
export function isSamePackage(a: PackageId, b: PackageId): boolean {
  return a.name === b.name && a.namespace === b.namespace;
}

/** Formats an identity for people: `web` in the namespace `default`, else `shop/web`. */
export function formatPackageId({ namespace, name }: PackageId): string {
  return namespace === DEFAULT_NAMESPACE ? name : `${namespace}/${name}`;
}

/** Formats an identity with its namespace, where names alone are ambiguous: `default/web`. */
export function formatFullPackageId({ namespace, name }: PackageId): string {
  return `${namespace}/${name}`;
}

/** Formats a release for people: `web@1.0.0` or `shop/web@1.0.0`. */
export function formatRelease(kubepkg: Pick<KubePkg, "metadata" | "spec">): string {
  return `${formatPackageId(packageIdOf(kubepkg))}@${kubepkg.spec.version}`;
}

/** Parses `NAME` or `NAMESPACE/NAME`. @returns `undefined` when the text is neither */
export function parsePackageId(text: string): PackageSelector | undefined {
  const slash = text.indexOf("/");
  const [namespace, name] = slash < 0 ? [undefined, text] : [text.slice(0, slash), text.slice(slash + 1)];
  return isPackageName(name) && (namespace === undefined || isNamespace(namespace)) ? { namespace, name } : undefined;
}

/** Reports whether a selector means a package; none means no package. */
export function isSelected({ namespace, name }: PackageId, selector: PackageSelector | undefined): boolean {
  return name === selector?.name && (selector.namespace ?? namespace) === namespace;
}

/** Reports whether a text can be the namespace of a package. */
export function isNamespace(text: string): boolean {
  return text.length <= MAX_NAMESPACE && DNS_NAME.test(text);
}

/** Reports whether the name and the namespace of an identity are valid. */
export function isPackageId({ namespace, name }: PackageId): boolean {
  return isPackageName(name) && isNamespace(namespace);
}

/** Compares identities for sorting: by name, then by namespace. */
export function comparePackageIds(a: PackageId, b: PackageId): number {
  return compareText(a.name, b.name) || compareText(a.namespace, b.namespace);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
