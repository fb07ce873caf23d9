import { Log } from "../../../../lib/cli/serving/log.ts";
import { Metrics } from "../../../../lib/cli/serving/metrics.ts";
import { assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { createTestIo } from "../../../support/test_io.ts";

const now = () => Date.parse("2026-01-02T03:04:05.678Z");
const entry = {
  method: "GET",
  path: "/v2/a/blobs/sha256:1",
  status: 206,
  bytes: 1234,
  isAborted: false,
  duration: 1.26,
  client: "10.0.0.7",
};

Deno.test("Log writes the time of each line", () => {
  const io = createTestIo();
  let time = now();
  const log = new Log(io, { format: "text", isVerbose: false, now: () => time });
  for (const step of [0, 0, 1, 999, -1000]) {
    time += step;
    log.write("info", "a line");
  }
  log.flush();
  const seconds = io.errText.split("\n").slice(0, -1).map((line) =>
    line.slice("2026-01-02T03:04:".length, -" a line".length)
  );
  assertEquals(seconds, ["05.678Z", "05.678Z", "05.679Z", "06.678Z", "05.678Z"]);
});

Deno.test("Log writes text lines, in batches", () => {
  const io = createTestIo();
  const log = new Log(io, { format: "text", isVerbose: false, now });
  log.write("info", "listening");
  log.write("warning", "two\nlines");
  log.write("debug", "not shown");
  log.access(entry);
  log.access({ ...entry, bytes: 7, isAborted: true });
  assertEquals(io.errText, "");
  log.flush();
  assertEquals(io.errText.split("\n"), [
    "2026-01-02T03:04:05.678Z listening",
    "2026-01-02T03:04:05.678Z warning: two lines",
    "2026-01-02T03:04:05.678Z 10.0.0.7 GET /v2/a/blobs/sha256:1 206 1234 1.3ms",
    "2026-01-02T03:04:05.678Z 10.0.0.7 GET /v2/a/blobs/sha256:1 206 7 1.3ms aborted",
    "",
  ]);
});

Deno.test("Log writes one JSON object per line", () => {
  const io = createTestIo();
  const log = new Log(io, { format: "json", isVerbose: true, now });
  log.write("debug", 'a "quoted"\nword');
  log.access(entry);
  log.access({ ...entry, isAborted: true });
  log.flush();
  const { isAborted: _, ...shown } = entry;
  const time = "2026-01-02T03:04:05.678Z";
  assertEquals(io.errText.trim().split("\n").map((line) => JSON.parse(line)), [
    { time, level: "debug", message: 'a "quoted" word' },
    { time, level: "info", message: "request", ...shown },
    { time, level: "info", message: "request", ...shown, aborted: true },
  ]);
});

for (const format of ["text", "json"] as const) {
  Deno.test(`Log escapes control characters and line separators in ${format}`, () => {
    const io = createTestIo();
    const log = new Log(io, { format, isVerbose: false, now });
    log.access({ ...entry, path: "/\u009b31m\u001b[2J\u0085\u2028\u202e\u007f" });
    log.write("warning", "an \u001b[2J image");
    log.flush();
    // deno-lint-ignore no-control-regex
    assertEquals(/[\0-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]/.test(io.errText), false);
    assertEquals(io.errText.trimEnd().split("\n").length, 2);
    assertStringIncludes(io.errText, "\\u009b31m\\u001b[2J\\u0085\\u2028\\u202e\\u007f");
    if (format === "json") { for (const line of io.errText.trim().split("\n")) JSON.parse(line); }
  });
}

Deno.test("Metrics use the Prometheus text format, with escaped labels", () => {
  const metrics = new Metrics();
  metrics.add("crpe_requests_total", 1, { kind: "blob", status: "200" });
  metrics.add("crpe_requests_total", 2, { kind: "blob", status: "200" });
  metrics.add("crpe_upstream_errors_total", 1, { host: 'a"b\\c\n' });
  const text = metrics.format();
  assertStringIncludes(text, "# TYPE crpe_requests_total counter\n");
  assertStringIncludes(text, '\ncrpe_requests_total{kind="blob",status="200"} 3\n');
  assertStringIncludes(text, '\ncrpe_upstream_errors_total{host="a\\"b\\\\c\\n"} 1\n');
  for (const line of text.trim().split("\n")) {
    assertEquals(/^(# (HELP|TYPE) \w+ .+|\w+(\{.+\})? \d+)$/.test(line), true, line);
  }
});

Deno.test("Metrics bound the number of series", () => {
  const metrics = new Metrics();
  for (let i = 0; i < 10_000; i++) metrics.add("crpe_upstream_errors_total", 1, { host: `host${i}` });
  const lines = metrics.format().split("\n").filter((line) => line.startsWith("crpe_upstream_errors_total"));
  assertEquals(lines.length, 501);
  assertStringIncludes(lines.join("\n"), 'host="other"} 9500');
});
