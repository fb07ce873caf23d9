/**
 * Compares two semantic versions: negative, 0 or positive. First by precedence (semver.org, 11); a leading `v` does not
 * count. Versions of equal precedence are compared by their build metadata, if both have some: distributions number the
 * builds of one upstream version with it (`1.34.1+k3s1`, then `1.34.1+k3s2`), and the later build is the upgrade.
 *
 * Build metadata is compared as a pre-release is, and within an identifier runs of digits count as numbers: `k3s9` comes
 * before `k3s10`. Numbers are compared as texts of digits, since a date and time in a version
 * (`1.0.0-20240115103000000001`) has more digits than a double holds.
 *
 * @param a a version that `isVersion` accepts, as is `b`
 */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [split(a), split(b)];
  const order = comparePrecedence(left, right);
  if (order !== 0 || left.build.length === 0 || right.build.length === 0) return order;
  return compareLists(left.build, right.build, compareBuildIdentifiers);
}

interface SplitVersion {
  readonly core: readonly string[];
  readonly prerelease: readonly string[];
  readonly build: readonly string[];
}

function comparePrecedence(left: SplitVersion, right: SplitVersion): number {
  for (let i = 0; i < 3; i++) {
    const order = compareNumbers(left.core[i] ?? "0", right.core[i] ?? "0");
    if (order !== 0) return order;
  }
  // A version without a pre-release comes after all its pre-releases.
  if (left.prerelease.length === 0 || right.prerelease.length === 0) {
    return right.prerelease.length - left.prerelease.length;
  }
  return compareLists(left.prerelease, right.prerelease, compareIdentifiers);
}

// Where one list is the beginning of the other, the shorter one comes first.
function compareLists(a: readonly string[], b: readonly string[], compare: typeof compareIdentifiers): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compare(a[i]!, b[i]!);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function split(version: string): SplitVersion {
  const [text = "", build = ""] = cut(version.trim().replace(/^[v=\s]+/, ""), "+");
  const [core = "", prerelease = ""] = cut(text, "-");
  const identifiers = (list: string) => list === "" ? [] : list.split(".");
  return { core: core.split("."), prerelease: identifiers(prerelease), build: identifiers(build) };
}

function cut(text: string, separator: string): [string] | [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function compareBuildIdentifiers(a: string, b: string): number {
  const runs = (text: string) => text.match(/[0-9]+|[^0-9]+/g) ?? [];
  return compareLists(runs(a), runs(b), compareIdentifiers);
}

// Numbers come before texts.
function compareIdentifiers(a: string, b: string): number {
  const [isNumberA, isNumberB] = [/^[0-9]+$/.test(a), /^[0-9]+$/.test(b)];
  if (isNumberA && isNumberB) return compareNumbers(a, b);
  if (isNumberA !== isNumberB) return isNumberA ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareNumbers(a: string, b: string): number {
  const [left, right] = [a.replace(/^0+(?=.)/, ""), b.replace(/^0+(?=.)/, "")];
  return left.length - right.length || (left < right ? -1 : left > right ? 1 : 0);
}
