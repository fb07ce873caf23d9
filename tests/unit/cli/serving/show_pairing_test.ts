import { run } from "../../../../lib/cli/run.ts";
import { takeDataFolder } from "../../../../lib/store/data_folder.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";
import { createTestIo } from "../../../support/test_io.ts";

for (const command of ["agent", "registry"]) {
  Deno.test(`crpe ${command} --pair refuses a data folder that no server uses, and creates nothing`, async () => {
    await using folder = await TestFolder.create();
    await folder.write("srv/crpe/docker/registry/v2/repositories/a.test/x", "");
    const cases = [
      // What follows depends on the data folders of this machine; the test of findDataProblem() has all cases.
      ["none", "the data folder %/none does not exist"],
      ["srv", "the data folder %/srv is empty, but %/srv/crpe in it has content; is --data=%/srv/crpe meant?"],
      [
        "srv/crpe",
        "no crpe is serving the data folder %/srv/crpe; start the server first, or name its folder with --data",
      ],
    ] as const;
    const before = await folder.listFiles("");
    for (const [data, reason] of cases) {
      const io = createTestIo({ env: { HOME: folder.path } });
      const status = await run([command, "--pair", `--data=${folder.path}/${data}`], io);
      assertEquals([status, io.outText], [1, ""]);
      const message = `crpe: Cannot make a code: ${reason.replaceAll("%", folder.path)}`;
      assert(io.errText.startsWith(message), io.errText);
      assertMatch(io.errText, /^[^\n]+\n$/);
    }
    assertEquals(await folder.listFiles(""), before);
    assertEquals(await Deno.stat(`${folder.path}/none`).then(() => true, () => false), false);
  });

  Deno.test(`crpe ${command} --pair makes a code for a server that is running`, async () => {
    await using folder = await TestFolder.create();
    using _served = await takeDataFolder(`${folder.path}/data`);
    const io = createTestIo({ env: { HOME: folder.path } });
    const status = await run([command, "--pair", `--data=${folder.path}/data`, "--addr=127.0.0.1:1234"], io);
    assertEquals([status, io.errText], [0, ""]);
    assertMatch(io.outText, /^http:\/\/127\.0\.0\.1:1234\/#t=[a-z2-7]+$/m);
    assertStringIncludes((await folder.listFiles("data/kubepkg")).join(), ".codes/");
  });
}
