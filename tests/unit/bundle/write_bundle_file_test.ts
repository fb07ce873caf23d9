import type { BundleOutput } from "../../../lib/bundle/write_bundle.ts";
import { chooseBundlePath, writeBundleFile } from "../../../lib/bundle/write_bundle_file.ts";
import { DigestMismatchError } from "../../../lib/content/verifier.ts";
import { CorruptError, NoSpaceError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { peerTest } from "../../support/peers.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { withFolder } from "./bundle_support.ts";

const BYTES = new Uint8Array([1, 2, 3]);
const writeAnew = async ({ partial, write }: BundleOutput) => {
  await partial?.cut(0);
  await write(BYTES);
};
const write = async (path: string) => await writeBundleFile(path, writeAnew);

Deno.test("chooseBundlePath() puts a bundle into an existing folder, or a path that ends in a slash", async () => {
  await using folder = await TestFolder.create();
  await folder.write("folder/x", "");
  await Deno.symlink("folder", `${folder.path}/link`);
  const name = "a@1.tgz";
  for (const there of ["folder", "folder/", "folder//", "link", "new/"]) {
    const expected = `${folder.path}/${there.replace(/\/+$/, "")}/${name}`;
    assertEquals(await chooseBundlePath(`${folder.path}/${there}`, name), expected);
  }
  for (const there of ["folder/x", "new", "new/b.tgz"]) {
    assertEquals(await chooseBundlePath(`${folder.path}/${there}`, name), `${folder.path}/${there}`);
  }
});

Deno.test("writeBundleFile() follows symbolic links, and keeps them", async () => {
  await using folder = await TestFolder.create();
  await folder.write("there/old.tgz", "old");
  await Deno.symlink("there/old.tgz", `${folder.path}/to-file`);
  await Deno.symlink("there/new.tgz", `${folder.path}/to-nothing`);
  await Deno.symlink(`${folder.path}/to-nothing`, `${folder.path}/to-link`);
  for (const [link, file] of [["to-file", "old.tgz"], ["to-link", "new.tgz"]]) {
    await write(`${folder.path}/${link}`);
    assert((await Deno.lstat(`${folder.path}/${link}`)).isSymlink);
    assertEquals(await Deno.readFile(`${folder.path}/there/${file}`), BYTES);
  }
  assertEquals(await folder.listFiles("there"), ["new.tgz", "old.tgz"]);
  await Deno.symlink("round", `${folder.path}/round`);
  await assertRejects(() => write(`${folder.path}/round`), Error, "too many symbolic links");
});

Deno.test("writeBundleFile() does not replace a folder", async () => {
  await using folder = await TestFolder.create();
  await Deno.mkdir(`${folder.path}/a.tgz`);
  await assertRejects(() => write(`${folder.path}/a.tgz`), Error, "a.tgz: it is a folder");
  assert((await Deno.stat(`${folder.path}/a.tgz`)).isDirectory);
  assertEquals(await folder.listFiles(), []);
});

peerTest("writeBundleFile() writes into a pipe, and keeps it", ["mkfifo"], async () => {
  await using folder = await TestFolder.create();
  const pipe = `${folder.path}/pipe`;
  assert((await new Deno.Command("mkfifo", { args: [pipe] }).output()).success);
  const [read] = await Promise.all([Deno.readFile(pipe), write(pipe)]);
  assertEquals(read, BYTES);
  assertEquals((await Deno.lstat(pipe)).isFifo, true);
  assertEquals(await folder.listFiles(), ["pipe"]);
});

Deno.test("writeBundleFile() replaces the partial file of an earlier call", async () => {
  await using folder = await TestFolder.create();
  await folder.write(".a.tgz.partial", "more bytes than there will be");
  await write(`${folder.path}/a.tgz`);
  assertEquals(await Deno.readFile(`${folder.path}/a.tgz`), BYTES);
  assertEquals(await folder.listFiles(), ["a.tgz"]);
});

Deno.test("writeBundleFile() does not touch a file that is being written, or one that is not a regular file", async () => {
  await using folder = await TestFolder.create();
  const path = `${folder.path}/a.tgz`;
  await writeBundleFile(path, async (sink) => {
    await sink.write(BYTES);
    await assertRejects(() => write(path), Error, `Cannot write ${path}: another crpe is writing it`);
    assertEquals(await folder.listFiles(), [".a.tgz.partial"]);
  });
  assertEquals(await Deno.readFile(path), BYTES);
  await folder.write("precious", "precious");
  await Deno.symlink("precious", `${folder.path}/.a.tgz.partial`);
  await assertRejects(() => write(path), Error, "is not a regular file; remove it");
  assertEquals(await Deno.readTextFile(`${folder.path}/precious`), "precious");
});

Deno.test("writeBundleFile() keeps the partial file for the next call when writing fails", async () => {
  await using folder = await TestFolder.create();
  const path = `${folder.path}/a.tgz`;
  const events: unknown[] = [];
  const options = { onKept: (bytes: number) => void events.push(bytes) };
  const fail = async (output: BundleOutput) => {
    await output.write(BYTES);
    throw new Error("the upstream has gone");
  };
  await assertRejects(() => writeBundleFile(path, fail, options), Error, "has gone");
  assertEquals(events, [3]);
  assertEquals(await folder.listFiles(), [".a.tgz.partial"]);
  await writeBundleFile(path, async ({ partial, write }) => {
    const there = new Uint8Array(9);
    assertEquals([await partial!.readAt(1, there), there[0]], [2, 2]);
    await partial!.cut(2);
    await write(BYTES);
  });
  assertEquals([...await Deno.readFile(path)], [1, 2, 1, 2, 3]);
  assertEquals(await folder.listFiles(), ["a.tgz"]);
});

for (
  const error of [
    new NoSpaceError("full"),
    new Error("No space left on device (os error 28)"),
    new DigestMismatchError("wrong"),
    new CorruptError("broken"),
  ]
) {
  Deno.test(`writeBundleFile() removes the partial file after ${error.name}: ${error.message}`, async () => {
    await using folder = await TestFolder.create();
    const fail = async (output: BundleOutput) => {
      await output.write(BYTES);
      throw error;
    };
    const onKept = () => {
      throw new Error("nothing is kept");
    };
    await assertRejects(() => writeBundleFile(`${folder.path}/a.tgz`, fail, { onKept }), Error, error.message);
    assertEquals(await folder.listFiles(), []);
  });
}

Deno.test("writeBundleFile() writes the whole file, or leaves the old one", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/new/a.tgz`;
    const result = await writeBundleFile(path, async (sink) => {
      await sink.write(new Uint8Array([1, 2]));
      await sink.write(new Uint8Array([3]));
      return "done";
    });
    assertEquals([result, [...await Deno.readFile(path)]], ["done", [1, 2, 3]]);
    const failing = () =>
      writeBundleFile(path, async (sink) => {
        await sink.write(new Uint8Array([9]));
        throw new Error("no");
      });
    await assertRejects(failing, Error, "no");
    assertEquals([...await Deno.readFile(path)], [1, 2, 3]);
    await assertRejects(() => writeBundleFile(path, () => Promise.reject(new Error("at once"))), Error, "at once");
    await writeBundleFile(path, writeAnew);
    assertEquals((await Array.fromAsync(Deno.readDir(`${folder}/new`))).map(({ name }) => name), ["a.tgz"]);
  });
});
