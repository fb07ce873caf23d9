import { fuzzInputs } from "../fuzz/fuzz_inputs.ts";
import { FUZZ_TARGETS } from "../fuzz/fuzz_targets.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { MEMORY_FOLDER, TestFolder } from "../support/test_folder.ts";

const SEED = Number(Deno.env.get("FUZZ_SEED") ?? 1);
// scripts/fuzz_inputs.ts runs for hours, with any seed.
for (const target of FUZZ_TARGETS) {
  Deno.test(`${target.cases} mutated inputs do no harm: ${target.name}`, async () => {
    console.log(`seed ${SEED}`);
    await using folder = await TestFolder.create(MEMORY_FOLDER);
    const { findings, outcomes, done } = await fuzzInputs(target, {
      ...{ seed: SEED, count: target.cases, folder: folder.path },
    });
    assertEquals(findings, []);
    assertEquals(done, target.cases);
    // Each outcome shows that cases of one kind reached the code that they are meant for.
    for (const outcome of target.outcomes) {
      assert((outcomes[outcome] ?? 0) > 0, `no case ended with ${outcome}: ${JSON.stringify(outcomes)}`);
    }
  });
}
