/**
 * Runs the conformance tests of the OCI distribution specification (pull, content discovery) against `crpe registry`:
 * the current suite and the last one of the previous generation, each on a store with the content and on an empty store
 * that pulls it through. Prints the outcome of each test and the counts; exits with status 1 if a test failed.
 *
 *   deno run -A scripts/conformance.ts
 *
 * `go` builds the suites from the Go module proxy, in a temporary folder. Without `go` nothing is tested, which is a
 * failure in CI (`CI=true`). $CRPE names an executable to test instead of the sources.
 */
import { DiskStore } from "../lib/store/disk_store.ts";
import { createRegistryHandler } from "../lib/registry/handler.ts";
import { startCrpe } from "../tests/support/crpe_process.ts";
import { findPeer } from "../tests/support/peers.ts";
import { CONTENT, fillStore, REPOSITORY } from "./conformance/content.ts";
import type { Outcome } from "./conformance/outcome.ts";
import { buildSuite, runSuite, SUITES } from "./conformance/suites.ts";

const go = findPeer("go");
if (go === undefined) {
  const isCi = Deno.env.get("CI") === "true";
  console.log(`${isCi ? "Cannot test" : "skipped:"} conformance${isCi ? ":" : ""} needs go`);
  Deno.exit(isCi ? 1 : 0);
}

const root = await Deno.makeTempDir({ prefix: "crpe-conformance-" });
const outcomes: Outcome[] = [];
try {
  const store = new DiskStore(`${root}/filled`);
  await fillStore(store);
  await using upstream = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    // Requests to the upstream do not have the host in the path, but the store has it: `ns` adds it.
    const url = new URL(request.url);
    url.searchParams.set("ns", REPOSITORY.host);
    return await createRegistryHandler(store)(new Request(url, { method: request.method, headers: request.headers }));
  });
  const kinds: [string, string[]][] = [
    ["from the store", [`--data=${root}/filled`, "--offline"]],
    ["pulled through", ["--data=DIR", `--upstream=${REPOSITORY.host}=http://127.0.0.1:${upstream.addr.port}`]],
  ];
  for (const suite of SUITES) {
    const executable = await buildSuite(go, suite, root);
    for (const [kind, flags] of kinds) {
      const folder = await Deno.makeTempDir({ dir: root });
      await using crpe = await startCrpe(
        ["registry", "--addr=127.0.0.1:0", ...flags.map((flag) => flag.replace("DIR", `${folder}/data`))],
        { env: { HOME: root } },
      );
      console.log(`\n== ${suite.name}, ${kind}`);
      const results = await runSuite({ suite, executable, folder, url: crpe.url, content: CONTENT });
      const lines = results.map(({ status, name, reason }) =>
        `${status.padEnd(14)} ${name}${reason === undefined ? "" : ` (${reason})`}`
      );
      for (const [line, same] of Map.groupBy(lines, (line) => line)) {
        console.log(`${line}${same.length > 1 ? ` × ${same.length}` : ""}`);
      }
      outcomes.push(...results);
    }
  }
} finally {
  await Deno.remove(root, { recursive: true });
}

const count = (status: Outcome["status"]) => outcomes.filter((outcome) => outcome.status === status).length;
console.log(`\n${count("passed")} passed | ${count("failed")} failed | ${count("not applicable")} not applicable`);
if (count("failed") > 0 || count("passed") === 0) Deno.exit(1);
