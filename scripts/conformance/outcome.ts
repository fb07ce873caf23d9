/** What one test of a suite came to. */
export interface Outcome {
  readonly name: string;
  /** `not applicable`: it writes, or prepares what is there already. */
  readonly status: "passed" | "failed" | "not applicable";
  /** Why it failed, or does not apply. */
  readonly reason?: string;
}

/** Which tests a registry that is for pulling only has no part in, and why. */
export type Exemptions = readonly (readonly [name: RegExp, reason: string])[];

/** What a suite's report says of each test, in its own words. */
export interface ReportedTest {
  readonly name: string;
  readonly status: string;
  readonly said: string;
}

/** Reads a report in JUnit's format, of the suite made with Ginkgo. */
export function parseJunit(junit: string): ReportedTest[] {
  const cases = junit.matchAll(/<testcase\s([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g);
  return [...cases].map(([, attributes = "", body = ""]) => ({
    name: attribute(attributes, "name"),
    status: attribute(attributes, "status"),
    said: unescape(body).trim(),
  }));
}

/**
 * Reads the tree that the current suite prints. Its JUnit report is not to be had: of a registry that nothing is pushed
 * to, it crashes before it writes that.
 */
export function parseTree(output: string): ReportedTest[] {
  const [tree = ""] = output.split("\n\n");
  const lines = tree.split("\n").slice(1);
  const depthOf = (line: string | undefined) => /^ *(?! *- )/.exec(line ?? "")?.[0].length ?? 0;
  return lines.flatMap((line, i) => {
    const match = /^( *)(OCI Conformance Test.*): (\w+)$/.exec(line);
    const next = lines.slice(i + 1).find((line) => line.trimStart().startsWith("OCI Conformance Test"));
    // Only the leaves are tests.
    if (match === null || depthOf(next) > match[1]!.length) return [];
    const reasons = lines.slice(i + 1, i + 1 + lines.slice(i + 1).findIndex((line) => line === next));
    return [{ name: match[2]!, status: match[3]!, said: reasons.map((reason) => reason.trim()).join("; ") }];
  });
}

/** Judges what a report says. A test that was not run without being exempt has failed: nothing goes untested unseen. */
export function judgeTests(tests: readonly ReportedTest[], exemptions: Exemptions): Outcome[] {
  // Ginkgo reports its own reporters too.
  const real = tests.filter(({ name }) => !name.startsWith("[ReportAfterSuite]"));
  return real.map(({ name: full, status, said }) => {
    const name = full.replace(/^(?:\[It\] )?OCI (?:Distribution )?Conformance Tests?[ /]*/, "");
    if (/^pass(?:ed)?$/i.test(status)) return { name, status: "passed" };
    const exempt = exemptions.find(([pattern]) => pattern.test(name));
    if (/^(?:skip(?:ped)?|disabled)$/i.test(status) && exempt !== undefined) {
      return { name, status: "not applicable", reason: exempt[1] };
    }
    return { name, status: "failed", reason: `${status}: ${said.slice(0, 2000)}` };
  });
}

function attribute(attributes: string, name: string): string {
  return unescape(new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? "");
}

function unescape(text: string): string {
  return text.replaceAll(/&#(x?)([0-9A-Fa-f]+);/g, (_, x, code) => String.fromCodePoint(parseInt(code, x ? 16 : 10)))
    .replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&amp;", "&");
}
