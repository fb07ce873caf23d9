/** The outcome of one test of a suite. */
export interface Outcome {
  readonly name: string;
  /** `not applicable` means that the test writes, or prepares content that exists already. */
  readonly status: "passed" | "failed" | "not applicable";
  /** Why the test failed, or does not apply. */
  readonly reason?: string;
}

/** The tests that do not apply to a pull-only registry, and why. */
export type Exemptions = readonly (readonly [name: RegExp, reason: string])[];

/** A test as a suite's report describes it. */
export interface ReportedTest {
  readonly name: string;
  readonly status: string;
  readonly said: string;
}

/** Parses a JUnit report, as written by the Ginkgo suite. */
export function parseJunit(junit: string): ReportedTest[] {
  const cases = junit.matchAll(/<testcase\s([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g);
  return [...cases].map(([, attributes = "", body = ""]) => ({
    name: attribute(attributes, "name"),
    status: attribute(attributes, "status"),
    said: unescape(body).trim(),
  }));
}

/**
 * Parses the tree that the current suite prints. Its JUnit report is not available: without pushes, the suite crashes
 * before it writes the report.
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

/** Derives the outcomes from a report. A skipped test counts as failed unless it is exempt, so no gap goes unnoticed. */
export function judgeTests(tests: readonly ReportedTest[], exemptions: Exemptions): Outcome[] {
  // Ginkgo lists its own reporters as tests too.
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
