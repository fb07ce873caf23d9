import {
  type GaugeName,
  type HistogramName,
  type MetricName,
  Metrics,
  OPEN_METRICS_TYPE,
  TEXT_TYPE,
} from "../../../../lib/cli/serving/metrics.ts";
import { listFolder } from "../../../../lib/files/if_present.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { denoFolder } from "../../../support/crpe_process.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const FIXTURES = new URL("../../../fixtures/prom_client/", import.meta.url);
const PROM_CLIENT = "15.1.3";

interface Sample {
  readonly type: "counter" | "gauge" | "histogram";
  readonly name: string;
  readonly series: readonly { readonly labels: Record<string, string>; readonly values: readonly number[] }[];
}

const SAMPLES: readonly Sample[] = JSON.parse(await Deno.readTextFile(new URL("samples.json", FIXTURES)));

function createMetrics(): Metrics {
  const metrics = new Metrics();
  for (const { type, name, series } of SAMPLES) {
    for (const { labels, values } of series) {
      for (const value of values) {
        if (type === "counter") metrics.add(name as MetricName, value, labels);
        else if (type === "gauge") metrics.set(name as GaugeName, value, labels);
        else metrics.observe(name as HistogramName, value, labels);
      }
    }
  }
  return metrics;
}

// The escape sequences of a label value are kept, so that they are compared too.
const LINE = /^(?<name>[a-z_]+)(?:\{(?<labels>(?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (?<value>\S+)$/;

/**
 * Parses an exposition into its families, each with its lines in order. The order of labels and the notation of numbers
 * are free in both formats. @throws {Error} when a line is not in the format
 */
function parse(text: string): Map<string, string[]> {
  assert(text.endsWith("\n"));
  const families = new Map<string, string[]>();
  let family: string[] = [];
  for (const line of text.split("\n").filter((line) => line !== "")) {
    const [, keyword, name = "", rest = ""] = /^# (HELP|TYPE) ([a-z_]+) (.*)$/.exec(line) ?? [];
    if (keyword === "HELP") {
      assert(rest !== "" && !families.has(name), line);
      families.set(name, family = []);
    } else if (keyword === "TYPE") family.push(`${name} is a ${rest}`);
    else if (line === "# EOF") families.set(line, family = []);
    else {
      const { name, labels = "", value } = LINE.exec(line)?.groups ?? {};
      if (name === undefined) throw new Error(`not a line of the format: ${line}`);
      const pairs = [...labels.matchAll(/([a-z]+)=("(?:[^"\\]|\\.)*")/g)].map(([, label, text]) =>
        label === "le" ? `le=${Number(text!.slice(1, -1).replace("+Inf", "Infinity"))}` : `${label}=${text}`
      );
      family.push(`${name} ${pairs.sort().join(" ")} ${Number(value)}`);
    }
  }
  return families;
}

for (
  const [file, isOpenMetrics, type] of [["prometheus.txt", false, TEXT_TYPE], [
    "openmetrics.txt",
    true,
    OPEN_METRICS_TYPE,
  ]] as const
) {
  Deno.test(`Metrics writes what prom-client does for the same values: ${file}`, async () => {
    const reference = await Deno.readTextFile(new URL(file, FIXTURES));
    assertEquals(type, reference.split("\n", 1)[0]);
    const expected = parse(reference.slice(reference.indexOf("\n") + 1));
    const ours = parse(createMetrics().format(isOpenMetrics));
    assertEquals(expected.size, SAMPLES.length + (isOpenMetrics ? 1 : 0));
    for (const [family, lines] of expected) assertEquals(ours.get(family), lines, family);
    // OpenMetrics ends with its mark.
    assertEquals([...ours.keys()].indexOf("# EOF"), isOpenMetrics ? ours.size - 1 : -1);
  });
}

// Only where the module is in Deno's cache: deno cache --no-lock npm:prom-client@15.1.3
const caches = await listFolder(`${denoFolder()}/npm`) ?? [];
const isCached = caches.some(({ name }) => {
  try {
    return Deno.statSync(`${denoFolder()}/npm/${name}/prom-client/${PROM_CLIENT}`).isDirectory;
  } catch {
    return false;
  }
});
Deno.test({
  name: `the reference is what prom-client writes${isCached ? "" : " (skipped: needs prom-client in Deno's cache)"}`,
  ignore: !isCached,
  fn: async () => {
    await using folder = await TestFolder.create();
    const script = new URL("generate.ts", FIXTURES).pathname;
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "-q", "--no-lock", "--cached-only", script, `npm:prom-client@${PROM_CLIENT}`, folder.path],
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    for (const file of ["prometheus.txt", "openmetrics.txt"]) {
      assertEquals(
        await Deno.readTextFile(`${folder.path}/${file}`),
        await Deno.readTextFile(new URL(file, FIXTURES)),
        file,
      );
    }
  },
});
