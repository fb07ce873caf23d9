import { type Content, REPOSITORY } from "./content.ts";
import { type Exemptions, judgeTests, type Outcome, parseJunit, parseTree } from "./outcome.ts";

/** One generation of the conformance tests. */
export interface Suite {
  readonly name: string;
  /** The version of its Go module. */
  readonly version: string;
  /** The arguments for `go` that build it. */
  readonly build: readonly string[];
  /** Returns its environment. @param host the registry's host and port @param reports a folder for reports */
  readonly environment: (host: string, reports: string, content: Content) => Record<string, string>;
  /** The format of its report. */
  readonly report: "tree" | "junit";
  readonly exemptions: Exemptions;
}

const MODULE = "github.com/opencontainers/distribution-spec/conformance";
const REPO = `${REPOSITORY.host}/${REPOSITORY.path}`;

/** The suites, newest first. */
export const SUITES: readonly Suite[] = [
  {
    name: "the current suite",
    version: "v0.0.0-20260831232431-97274622c111",
    build: ["build", "-o"],
    environment: (host, reports, { tags, manifests, blobs, subjects }) => ({
      OCI_REGISTRY: host,
      OCI_TLS: "disabled",
      OCI_REPO1: REPO,
      OCI_VERSION: "1.1",
      OCI_RESULTS_DIR: reports,
      OCI_API_PUSH: "false",
      OCI_API_BLOBS_DELETE: "false",
      OCI_API_MANIFESTS_DELETE: "false",
      OCI_API_TAGS_DELETE: "false",
      OCI_RO_DATA_TAGS: tags.join(" "),
      OCI_RO_DATA_MANIFESTS: manifests.join(" "),
      OCI_RO_DATA_BLOBS: blobs.join(" "),
      OCI_RO_DATA_REFERRERS: subjects.join(" "),
    }),
    report: "tree",
    exemptions: [
      [/^sha\d+ blobs$/, "it pushes the blobs that it then asks for"],
      [/\/push\/|\/manifest-put$/, "it pushes"],
      [/\/delete\//, "it deletes"],
    ],
  },
  {
    name: "the suite of specification 1.1.0",
    version: "v0.0.0-20231101194043-f2182352d4cc",
    build: ["test", "-c", "-o"],
    environment: (host, reports, { tags, one }) => ({
      OCI_ROOT_URL: `http://${host}`,
      OCI_NAMESPACE: REPO,
      OCI_TEST_PULL: "1",
      OCI_TEST_CONTENT_DISCOVERY: "1",
      OCI_REPORT_DIR: reports,
      OCI_TAG_NAME: one.tag,
      OCI_MANIFEST_DIGEST: one.manifest,
      OCI_BLOB_DIGEST: one.blob,
      OCI_TAG_LIST: tags.join(","),
    }),
    report: "junit",
    exemptions: [
      [/^Push /, "it pushes"],
      [/^Content Management /, "it deletes"],
      [/^(?:Pull|Content Discovery) (?:Setup|Teardown) /, "the content exists beforehand, and is kept"],
    ],
  },
];

/** Builds a suite in its own Go module below `root`. @returns the path of the executable @throws {Error} when the build fails */
export async function buildSuite(go: string, suite: Suite, root: string): Promise<string> {
  const folder = await Deno.makeTempDir({ dir: root });
  await Deno.writeTextFile(`${folder}/go.mod`, "module crpe.invalid/conformance\n\ngo 1.24.0\n");
  const executable = `${folder}/conformance`;
  for (const args of [["get", "-t", `${MODULE}@${suite.version}`], [...suite.build, executable, MODULE]]) {
    const { success, stderr } = await new Deno.Command(go, { args, cwd: folder, stdin: "null" }).output();
    if (!success) throw new Error(`Cannot build ${suite.name}: ${new TextDecoder().decode(stderr)}`);
  }
  return executable;
}

/** One run of a suite against a registry. */
export interface SuiteRun {
  readonly suite: Suite;
  readonly executable: string;
  /** A working folder for this run. */
  readonly folder: string;
  /** The URL of the registry. */
  readonly url: string;
  readonly content: Content;
}

/** Runs a suite. @throws {Error} when it writes no report */
export async function runSuite({ suite, executable, folder, url, content }: SuiteRun): Promise<Outcome[]> {
  const { stdout, stderr } = await new Deno.Command(executable, {
    cwd: folder,
    stdin: "null",
    clearEnv: true,
    env: { HOME: folder, ...suite.environment(new URL(url).host, folder, content) },
  }).output();
  const output = new TextDecoder().decode(stdout);
  const tests = suite.report === "tree" ? parseTree(output) : parseJunit(await readIfPresent(`${folder}/junit.xml`));
  if (tests.length > 0) return judgeTests(tests, suite.exemptions);
  throw new Error(`Cannot read the report of ${suite.name}: ${output}${new TextDecoder().decode(stderr)}`);
}

async function readIfPresent(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}
