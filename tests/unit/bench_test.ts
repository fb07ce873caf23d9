import { formatMarkdown, mergeReports, replaceResults } from "../../scripts/bench/format_markdown.ts";
import { MEASURES } from "../../scripts/bench/measures.ts";
import type { BenchReport } from "../../scripts/bench/report.ts";
import { createBar, createRatioBars, type Row } from "../../scripts/bench/row.ts";
import { createSeries } from "../../scripts/bench/samples.ts";
import { assert, assertEquals, assertThrows } from "../support/assert.ts";

const PAGE = Deno.readTextFileSync(new URL("../../docs/performance.md", import.meta.url));

Deno.test("docs/performance.md explains every row of the benchmark, and none that does not exist", () => {
  const explained = [...PAGE.matchAll(/^\| (P\d+) +\|/gm)].map(([, id]) => id!);
  assertEquals(explained, Object.keys(MEASURES));
});

Deno.test("the results in docs/performance.md are of rows that exist", () => {
  const measured = [...PAGE.matchAll(/^\*\*(P\d+)\*\*: /gm)].map(([, id]) => id!);
  assertEquals(measured.filter((id) => !(id in MEASURES)), []);
});

function makeReport(rows: readonly Row[], missing: readonly string[] = []): BenchReport {
  return {
    machine: {
      crpe: "crpe 0.1.0 (executable)",
      cpus: 2,
      cpu: "a processor",
      memory: 8 * 2 ** 30,
      kernel: "6.1",
      target: "x86_64-unknown-linux-gnu",
      load: 0.5,
      date: "2020-01-02",
    },
    options: { size: 2 ** 29, large: 2 ** 31, images: 100, bundled: 10, rounds: 3 },
    seconds: 61,
    missing,
    rows,
  };
}

function makeRow(id: string, figure: number): Row {
  const series = [
    createSeries("crpe", [{ figure, cpu: 0.25, peak: 2 ** 21 }]),
    createSeries("distribution 2.8", [{ figure: 2 }]),
  ];
  const bars = createRatioBars(series, { of: "crpe", to: "distribution 2.8", sense: "at most", limit: 1 });
  return { id, work: "a warm GET", unit: "s", series, bars, notes: ["a note"] };
}

Deno.test("the results replace what is between the markers of the page", () => {
  const page = replaceResults(PAGE, formatMarkdown(makeReport([makeRow("P1", 1)], ["nora"])));
  assert(page.includes("Run on 2020-01-02 with crpe 0.1.0 (executable), on 2 CPUs (a processor), 8.00 GiB of memory"));
  assert(page.includes("left out: nora."));
  assert(page.includes("**P1**: a warm GET\n\n|"), page);
  assert(/^\| crpe +\| +1\.00 \| +1\.00 \| +1\.00 \| +0\.250 \| +2\.00 \|$/m.test(page), page);
  assert(page.includes("- × distribution 2.8 0.500, required ≤ 1.00: met\n- a note\n"), page);
  assert(!page.includes("No run has been recorded"));
  assertEquals(replaceResults(page, "other\n").match(/<!-- /g)!.length, 2);
  assertThrows(() => replaceResults("a page without markers", "results"), Error, "Cannot write the results");
});

Deno.test("runs are joined: the last one counts for the rows that it has, in the order of their numbers", () => {
  const joined = mergeReports([
    makeReport([makeRow("P2", 1), makeRow("P10", 1)], ["wrk"]),
    makeReport([makeRow("P10", 3)], ["nora"]),
  ]);
  assertEquals(joined.rows.map(({ id, series }) => [id, series[0]!.median]), [["P2", 1], ["P10", 3]]);
  assertEquals([joined.missing, joined.seconds], [["nora", "wrk"], 122]);
});

Deno.test("a series has the medians of figures and CPU times, and the largest memory", () => {
  const measured = [[3, 0.3, 1], [1, 0.1, 5], [2, 0.2, 3]] as const;
  const series = createSeries("crpe", measured.map(([figure, cpu, mib]) => ({ figure, cpu, peak: mib * 2 ** 20 })));
  assertEquals(series, { name: "crpe", samples: [3, 1, 2], median: 2, min: 1, max: 3, cpu: 0.2, peak: 5 });
});

Deno.test("a bar compares medians, CPU times or memory, and is left out without a peer", () => {
  const series = [
    createSeries("crpe", [{ figure: 4, cpu: 1, peak: 2 ** 20 }]),
    createSeries("peer", [{ figure: 2, cpu: 2 }]),
  ];
  const at = { of: "crpe", sense: "at most", limit: 1 } as const;
  assertEquals(createRatioBars(series, { ...at, to: "peer" }), [createBar("× peer", 2, at)]);
  assertEquals(createRatioBars(series, { ...at, to: "peer", figure: "cpu" }), [createBar("CPU s × peer", 0.5, at)]);
  assertEquals(createRatioBars(series, { ...at, to: "peer", figure: "peak" }), []);
  assertEquals(createRatioBars(series, { ...at, to: "other" }), []);
});
