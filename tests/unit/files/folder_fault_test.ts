import { findFolderFault } from "../../../lib/files/folder_fault.ts";
import { run } from "../../../lib/cli/run.ts";
import { assertEquals } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { createTestIo } from "../../support/test_io.ts";

// DIR stands for the folder of the test.
const ROWS: readonly (readonly [path: string, fault: string | undefined])[] = [
  ["DIR", undefined],
  ["DIR/new/deep", undefined],
  ["DIR/good", undefined],
  ["DIR/good/new", undefined],
  ["/", undefined],
  ["DIR/file", "it is a file"],
  ["DIR/file/x/y", "DIR/file is a file"],
  ["DIR/loop", "it is a symbolic link that leads back to itself"],
  ["DIR/loop/x", "DIR/loop is a symbolic link that leads back to itself"],
  ["DIR/dangling", "it is a symbolic link to nowhere, which does not exist"],
  ["DIR/dangling/x", "DIR/dangling is a symbolic link to nowhere, which does not exist"],
  ["/dev/null", "it is not a folder"],
  ["/dev/null/x", "/dev/null is not a folder"],
];

for (const [path, fault] of ROWS) {
  Deno.test(`${path} ${fault === undefined ? "may be a data folder" : `is none, and the error says why: ${fault}`}`, async () => {
    await using folder = await TestFolder.create();
    await folder.write("file", "text");
    await folder.write("sub/file", "text");
    for (const [target, name] of [["sub", "good"], ["loop", "loop"], ["nowhere", "dangling"]] as const) {
      await Deno.symlink(target, `${folder.path}/${name}`);
    }
    const fill = (text: string) => text.replaceAll("DIR", folder.path);
    assertEquals(await findFolderFault(fill(path)), fault && fill(fault));
    if (fault === undefined) return;
    for (const command of ["images", "pull a.test/b:1 --offline", "registry", "agent"]) {
      const io = createTestIo();
      assertEquals(await run([...command.split(" "), `--data=${fill(path)}`], io), 1);
      const line = `crpe: Cannot use ${path} as the data folder: ${fault}; name a folder with --data\n`;
      assertEquals(io.errText, fill(line));
    }
  });
}
