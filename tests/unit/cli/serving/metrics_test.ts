import { Metrics } from "../../../../lib/cli/serving/metrics.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

/** The lines of one metric. */
function linesOf(text: string, name: string): string[] {
  return text.split("\n").filter((line) => line.includes(name));
}

function createMetrics(): Metrics {
  const metrics = new Metrics();
  metrics.add("crpe_downloads_total", 2, { host: 'a"\\\nb' });
  metrics.set("crpe_transfers", 3);
  for (const seconds of [0.001, 0.2, 1000]) {
    metrics.observe("crpe_request_duration_seconds", seconds, { kind: "blob" });
  }
  return metrics;
}

Deno.test("Metrics writes counters and gauges with their type, and escapes labels", () => {
  const text = createMetrics().format();
  assertEquals(linesOf(text, "crpe_downloads_total").slice(1), [
    "# TYPE crpe_downloads_total counter",
    'crpe_downloads_total{host="a\\"\\\\\\nb"} 2',
  ]);
  assertEquals(linesOf(text, "crpe_transfers").slice(1), ["# TYPE crpe_transfers gauge", "crpe_transfers 3"]);
});

Deno.test("Metrics writes the cumulated buckets of a histogram, its sum and its count", () => {
  const lines = linesOf(createMetrics().format(), "crpe_request_duration_seconds").slice(1);
  const counts = lines.slice(1, -2).map((line) => /le="([^"]+)"\} (\d+)$/.exec(line)!.slice(1).join(" "));
  assertEquals(counts, ["0.005 1", "0.025 1", "0.1 1", "0.5 2", "2.5 2", "10 2", "60 2", "300 2", "+Inf 3"]);
  assertEquals(lines.slice(-2), [
    'crpe_request_duration_seconds_sum{kind="blob"} 1000.201',
    'crpe_request_duration_seconds_count{kind="blob"} 3',
  ]);
});

Deno.test("Metrics writes OpenMetrics: families without _total, limits as floating-point numbers, and an end", () => {
  const text = createMetrics().format(true);
  assert(text.endsWith("\n# EOF\n"));
  assert(text.includes("# TYPE crpe_downloads counter\ncrpe_downloads_total{"), text);
  assert(text.includes('le="10.0"'));
});

Deno.test("Metrics removes a gauge that is not known", () => {
  const metrics = new Metrics();
  metrics.set("crpe_free_bytes", 5);
  metrics.set("crpe_free_bytes", undefined);
  assertEquals(linesOf(metrics.format(), "crpe_free_bytes ").filter((line) => !line.startsWith("#")), []);
});
