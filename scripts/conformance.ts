/**
 * Runs the conformance tests of the OCI distribution specification (pull, content discovery) against `crpe registry`:
 * the current suite and the last one of the previous generation, each on a store with the content and on an empty store
 * that pulls it through, in a data folder and in the buckets of two object storages. Prints the outcome of each test and the counts; exits with status 1 if a test failed.
 *
 *   deno run -A scripts/conformance.ts
 *
 * `go` builds the suites from the Go module proxy, in a temporary folder. Without `go` nothing is tested, which is a
 * failure in CI (`CI=true`). $CRPE names an executable to test instead of the sources.
 */
import { SharedFiles } from "../lib/bytes/shared_files.ts";
import { ObjectStore } from "../lib/object_store/object_store.ts";
import { DiskStore } from "../lib/store/disk_store.ts";
import { createRegistryHandler } from "../lib/registry/handler.ts";
import { startCrpe } from "../tests/support/crpe_process.ts";
import { openS3Client, S3_BUCKET, s3Environment, startVersitygw, startWeed } from "../tests/support/object_storage.ts";
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
  const through = `--upstream=${REPOSITORY.host}=http://127.0.0.1:${upstream.addr.port}`;
  const kinds: [kind: string, flags: string[], env?: Record<string, string>][] = [
    ["from the store", [`--data=${root}/filled`, "--offline"]],
    ["pulled through", ["--data=DIR", through]],
  ];
  using storages = new DisposableStack();
  for (const start of [startVersitygw, startWeed]) {
    const name = start === startVersitygw ? "versitygw" : "weed";
    if (findPeer(name) === undefined) {
      if (Deno.env.get("CI") === "true") throw new Error(`Cannot test conformance on ${name}: it is not installed`);
      console.log(`skipped: conformance on ${name}`);
      continue;
    }
    const storage = await start();
    storages.defer(() => storage.kill());
    const spool = await Deno.makeTempDir({ dir: root });
    await fillStore(new ObjectStore({ client: openS3Client(storage, "filled/"), spool, files: new SharedFiles() }));
    const env = s3Environment(storage);
    kinds.push(
      [`from a bucket of ${name}`, ["--data=DIR", `--store=s3://${S3_BUCKET}/filled`, "--offline"], env],
      [`pulled through into a bucket of ${name}`, ["--data=DIR", `--store=s3://${S3_BUCKET}/ID`, through], env],
    );
  }
  for (const suite of SUITES) {
    const executable = await buildSuite(go, suite, root);
    for (const [kind, flags, env] of kinds) {
      const folder = await Deno.makeTempDir({ dir: root });
      await using crpe = await startCrpe(
        [
          "registry",
          "--addr=127.0.0.1:0",
          ...flags.map((flag) => flag.replace("DIR", `${folder}/data`).replace("/ID", folder)),
        ],
        { env: { HOME: root, ...env } },
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
