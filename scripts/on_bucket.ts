/**
 * Runs integration tests whose registries keep their content in a bucket: each crpe of a test that has a data folder of its
 * own gets a prefix of its own in an object storage, which is started here.
 *
 *   deno run -A scripts/on_bucket.ts versitygw|weed FILE…
 *
 * $CRPE names an executable; without it the sources run. $CRPE_S3 is the folder that scripts/peers/s3 has printed.
 */
import { s3Environment, startVersitygw, startWeed } from "../tests/support/object_storage.ts";

const [name, ...files] = Deno.args;
if (files.length === 0 || name !== "versitygw" && name !== "weed") {
  console.error("Usage: scripts/on_bucket.ts versitygw|weed FILE…");
  Deno.exit(2);
}
const storage = await (name === "weed" ? startWeed() : startVersitygw());
const tests = new Deno.Command(Deno.execPath(), {
  args: ["test", "-A", "--no-check", "--parallel", ...files],
  env: { CRPE_TEST_STORE_ENV: JSON.stringify(s3Environment(storage)) },
}).spawn();
const { code } = await tests.status;
storage.kill();
Deno.exit(code);
