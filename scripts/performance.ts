/**
 * Writes the results of the benchmark into docs/performance.md. Several files may have different rows of one machine; of
 * a row that is in more than one, the last counts.
 *
 *   deno task bench --json > bench.json
 *   deno run -A scripts/performance.ts bench.json…
 */
import { formatMarkdown, mergeReports, replaceResults } from "./bench/format_markdown.ts";
import type { BenchReport } from "./bench/report.ts";

const PAGE = new URL("../docs/performance.md", import.meta.url);

if (Deno.args.length === 0) throw new Error("Cannot write the results: name the output of deno task bench --json");
const reports = Deno.args.map((file) => JSON.parse(Deno.readTextFileSync(file)) as BenchReport);
const page = replaceResults(Deno.readTextFileSync(PAGE), formatMarkdown(mergeReports(reports)));
Deno.writeTextFileSync(PAGE, page);
