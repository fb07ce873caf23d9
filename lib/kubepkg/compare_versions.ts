/**
 * Compares two semantic versions by precedence (semver.org, 11): negative, 0 or positive. A leading `v` and build
 * metadata do not count. Numbers are compared as texts of digits, since a date and time in a pre-release
 * (`1.0.0-20240115103000000001`) has more digits than a double holds.
 *
 * @param a a version that `isVersion` accepts, as is `b`
 */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [split(a), split(b)];
  for (let i = 0; i < 3; i++) {
    const order = compareNumbers(left.core[i] ?? "0", right.core[i] ?? "0");
    if (order !== 0) return order;
  }
  // A version without a pre-release comes after all its pre-releases.
  if (left.prerelease.length === 0 || right.prerelease.length === 0) {
    return right.prerelease.length - left.prerelease.length;
  }
  for (let i = 0; i < Math.max(left.prerelease.length, right.prerelease.length); i++) {
    const order = compareIdentifiers(left.prerelease[i], right.prerelease[i]);
    if (order !== 0) return order;
  }
  return 0;
}

function split(version: string): { core: string[]; prerelease: string[] } {
  const text = version.trim().replace(/^[v=\s]+/, "").split("+", 1)[0]!;
  const dash = text.indexOf("-");
  const [core, prerelease] = dash < 0 ? [text, ""] : [text.slice(0, dash), text.slice(dash + 1)];
  return { core: core.split("."), prerelease: prerelease === "" ? [] : prerelease.split(".") };
}

// Fewer identifiers come first, and numbers before texts.
function compareIdentifiers(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return (a === undefined ? 0 : 1) - (b === undefined ? 0 : 1);
  const [isNumberA, isNumberB] = [/^[0-9]+$/.test(a), /^[0-9]+$/.test(b)];
  if (isNumberA && isNumberB) return compareNumbers(a, b);
  if (isNumberA !== isNumberB) return isNumberA ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareNumbers(a: string, b: string): number {
  const [left, right] = [a.replace(/^0+(?=.)/, ""), b.replace(/^0+(?=.)/, "")];
  return left.length - right.length || (left < right ? -1 : left > right ? 1 : 0);
}
