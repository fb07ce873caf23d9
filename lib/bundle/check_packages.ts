import type { KubePkg } from "../kubepkg/kubepkg.ts";

/**
 * Checks that the packages of a bundle can be in one file: no two are the same, and a part of a split bundle is alone.
 *
 * @param refuse creates the error for a reason
 * @throws what `refuse` returns
 */
export function checkPackages(packages: readonly KubePkg[], refuse: (reason: string) => Error): void {
  if (packages.length === 1) return;
  const seen = new Set<string>();
  for (const { metadata: { name, namespace }, status } of packages) {
    if (status?.part !== undefined) {
      throw refuse(`${name} is a part of a split bundle, which cannot hold other packages`);
    }
    const key = `${namespace}/${name}`;
    if (seen.has(key)) throw refuse(`it holds the package ${key} twice`);
    seen.add(key);
  }
}
