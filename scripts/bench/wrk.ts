import { MANIFEST_MEDIA_TYPES } from "../../lib/oci/manifest.ts";
import { type Measurement, measureServer } from "./measure.ts";
import { runProgram } from "./program.ts";

/** Connections at a time. */
export const CONNECTIONS = 16;
const WRK_SECONDS = 1;
// Without this header distribution does not serve OCI manifests.
const ACCEPT = `Accept: ${MANIFEST_MEDIA_TYPES.join()}`;

/** Measures the requests a second of a server, with the CPU seconds of 10,000 requests. @throws {Error} when one fails */
export async function runWrk(url: string, pid: number): Promise<Measurement> {
  let out = "";
  const measured = await measureServer(pid, async () => {
    out = await runProgram("wrk", "-t1", `-c${CONNECTIONS}`, `-d${WRK_SECONDS}s`, "-H", ACCEPT, url);
  });
  const rate = /^Requests\/sec:\s+([\d.]+)$/m.exec(out)?.[1];
  const count = Number(/^\s*(\d+) requests in /m.exec(out)?.[1]);
  if (rate === undefined || !(count > 0) || out.includes("Non-2xx") || out.includes("Socket errors")) {
    throw new Error(`Cannot measure ${url}: ${out}`);
  }
  return { figure: Number(rate), cpu: measured.cpu / count * 10_000, peak: measured.peak };
}
