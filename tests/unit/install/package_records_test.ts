import { collectPackageDigests } from "../../../lib/install/package_digests.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import { formatRecord, RecordError } from "../../../lib/install/records/record_file.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { idOf, makeKubePkg } from "../../support/kubepkg.ts";
import { TestFolder } from "../../support/test_folder.ts";

const release = (version: string, name = "line4") => parseKubePkg(makeKubePkg({}, { version, name }));

Deno.test("PackageRecords lists nothing in an empty folder", async () => {
  await using folder = await TestFolder.create();
  const records = new PackageRecords(folder.path);
  assertEquals(await records.list(), []);
  assertEquals(await records.read(idOf("line4")), undefined);
  assertEquals(await records.listHistory(idOf("line4")), []);
});

Deno.test("PackageRecords keeps the releases that a package replaced, the oldest first", async () => {
  await using folder = await TestFolder.create();
  const records = new PackageRecords(folder.path);
  for (const version of ["1.0.0", "1.1.0", "2.0.0"]) await records.write(release(version));
  await records.write(release("0.1.0", "another"));
  assertEquals((await records.read(idOf("line4")))?.spec.version, "2.0.0");
  assertEquals((await records.listHistory(idOf("line4"))).map(({ spec }) => spec.version), ["1.0.0", "1.1.0"]);
  assertEquals((await records.list()).map(({ metadata }) => metadata.name), ["another", "line4"]);
  assertEquals(await folder.listFiles("ingest"), []);
});

Deno.test("PackageRecords keeps the date of the installation in the history", async () => {
  await using folder = await TestFolder.create();
  const records = new PackageRecords(folder.path);
  const [first, second] = [new Date("2026-01-02T03:04:05Z"), new Date("2026-02-03T04:05:06Z")];
  for (const [version, date] of [["1.0.0", first], ["1.1.0", second]] as const) {
    await records.write(release(version));
    await Deno.utime(`${folder.path}/kubepkg/line4/current.json`, date, date);
  }
  assertEquals(await records.readDate(idOf("line4")), second);
  await records.write(release("2.0.0"));
  const { packages, dates } = await records.scanHistory(idOf("line4"));
  assertEquals(packages.map((it) => [it.spec.version, dates.get(it)]), [["1.0.0", first], ["1.1.0", second]]);
  assertEquals(await records.readDate(idOf("another")), undefined);
});

Deno.test("PackageRecords adds a release to the history once if a write was interrupted before the new record", async () => {
  await using folder = await TestFolder.create();
  const records = new PackageRecords(folder.path);
  await records.write(release("1.0.0"));
  const current = await Deno.readTextFile(`${folder.path}/kubepkg/line4/current.json`);
  await records.write(release("2.0.0"));
  await folder.write("kubepkg/line4/current.json", current);
  await records.write(release("2.0.0"));
  assertEquals((await records.listHistory(idOf("line4"))).map(({ spec }) => spec.version), ["1.0.0"]);
  // Installing the earlier release again, and then the later one, adds both to the history.
  await records.write(release("1.0.0"));
  await records.write(release("2.0.0"));
  assertEquals((await records.listHistory(idOf("line4"))).map(({ spec }) => spec.version), ["1.0.0", "2.0.0", "1.0.0"]);
});

Deno.test("[38] PackageRecords.lock() is exclusive", async () => {
  await using folder = await TestFolder.create();
  const steps: string[] = [];
  const work = async (name: string) => {
    await using _ = await new PackageRecords(folder.path).lock();
    steps.push(`${name} begins`);
    await new Promise((resolve) => setTimeout(resolve, 1));
    steps.push(`${name} ends`);
  };
  await Promise.all(["a", "b", "c", "d"].map(work));
  assertEquals(steps.length, 8);
  for (let i = 0; i < steps.length; i += 2) assertEquals(steps[i]?.[0], steps[i + 1]?.[0], steps.join());
});

Deno.test("[93] PackageRecords.lock() fails if the lock cannot be taken", async () => {
  await using folder = await TestFolder.create();
  await folder.write("data", "a file");
  await assertRejects(() => new PackageRecords(`${folder.path}/data`).lock());
});

Deno.test("[92] PackageRecords names a record that cannot be read, and lists the others", async () => {
  const broken: Record<string, string> = {
    "cut": '{"apiVersion":',
    "not an object": "[]",
    "another kind": '{"apiVersion":"v1","kind":"List"}',
    "a changed byte": formatRecord(release("1.0.0")).replace('"1.0.0"', '"1.0.1"'),
    "a later format": formatRecord({ ...release("1.0.0"), recordVersion: 2 }),
    "a damaged checksum": formatRecord(release("1.0.0")).replace("checksum", "checksun"),
    "a wrong checksum": formatRecord(release("1.0.0")).replace(/sha256:../, "sha256:00"),
  };
  for (const [what, text] of Object.entries(broken)) {
    await using folder = await TestFolder.create();
    const records = new PackageRecords(folder.path);
    await records.write(release("1.0.0", "web"));
    await folder.write("kubepkg/line4/current.json", text);
    const { packages, problems } = await records.scan();
    assertEquals(packages.map(({ metadata }) => metadata.name), ["web"], what);
    assertEquals(problems.map(({ id }) => id), [idOf("line4")], what);
    const { message } = await assertRejects(() => records.read(idOf("line4")), RecordError, "line4/current.json");
    assertStringIncludes(message, "crpe packages remove line4 --forget");
    assertStringIncludes(message, "--force");
  }
});

Deno.test("[92] a folder in the place of a record, and a record that is not readable, are named too", async () => {
  await using folder = await TestFolder.create();
  const records = new PackageRecords(folder.path);
  await records.write(release("1.0.0", "web"));
  await Deno.mkdir(`${folder.path}/kubepkg/line4/current.json`, { recursive: true });
  const { packages, problems } = await records.scan();
  assertEquals([packages.length, problems.map(({ id }) => id)], [1, [idOf("line4")]]);
});

const DIGESTS = ["1", "2", "3"].map((digit) => `sha256:${digit.repeat(64)}` as const);

function releaseWith(version: string, digests: readonly string[]) {
  const lines = digests.map((digest) => ({ type: "blob", name: "registry.test/app", digest, size: 3 }));
  return parseKubePkg({ ...makeKubePkg({}, { version }), status: { digests: lines } });
}

Deno.test("[92] while a record cannot be read, the digests that its files still name are kept, and it is named", async () => {
  const damages: [string, (text: string) => string][] = [
    ["a byte changed", (text) => text.replace('"KubePkg"', '"KubePkh"')],
    ["cut at its end", (text) => text.slice(0, text.lastIndexOf(DIGESTS[0]!) + DIGESTS[0]!.length)],
    ["pushed beyond a chunk", (text) => `x${" ".repeat(1024 * 1024 - text.indexOf(DIGESTS[0]!) - 5)}${text}`],
  ];
  for (const file of ["current.json", "history/000001.json", "pending.json"]) {
    for (const [what, damage] of damages) {
      await using folder = await TestFolder.create();
      const records = new PackageRecords(folder.path);
      await records.write(releaseWith("1.0.0", DIGESTS.slice(0, 1)));
      await records.write(releaseWith("2.0.0", DIGESTS.slice(0, 1)));
      await records.pending.write({ kubepkg: releaseWith("3.0.0", DIGESTS.slice(0, 1)) });
      // Only the damaged file names the first digest.
      for (const other of ["current.json", "history/000001.json", "pending.json"]) {
        const path = `${folder.path}/kubepkg/line4/${other}`;
        const text = await Deno.readTextFile(path);
        await Deno.writeTextFile(
          path,
          other === file ? damage(text) : formatRecord(
            other === "pending.json"
              ? { kubepkg: releaseWith("3.0.0", DIGESTS.slice(1, 2)) }
              : releaseWith("2.0.0", DIGESTS.slice(1, 2)),
          ),
        );
      }
      const named: string[] = [];
      const kept = await collectPackageDigests(records, { onProblem: ({ path }) => named.push(path) });
      assertEquals(DIGESTS.map((digest) => kept.has(digest)), [true, true, false], `${file}: ${what}`);
      assertEquals(named, [`${folder.path}/kubepkg/line4/${file}`], what);
    }
  }
});

Deno.test("[92] a record that cannot be read is set aside, and what it named is not kept any more", async () => {
  for (const file of ["current.json", "history/000001.json", "pending.json"]) {
    await using folder = await TestFolder.create();
    const records = new PackageRecords(folder.path);
    for (const version of ["1.0.0", "2.0.0"]) await records.write(release(version));
    await folder.write(`kubepkg/line4/${file}`, `{torn "${DIGESTS[0]}"`);
    assertEquals((await collectPackageDigests(records)).has(DIGESTS[0]!), true);
    assertEquals((await records.listProblems(idOf("line4"))).map(({ path }) => path), [
      `${folder.path}/kubepkg/line4/${file}`,
    ]);
    assertEquals(await records.setAsideBroken(idOf("line4")), [`${folder.path}/kubepkg/line4/${file}.broken`]);
    assertEquals((await collectPackageDigests(records)).size, 0);
  }
});

Deno.test("[79] records are readable by their owner alone, also those of crpe 0.1.0 when they are written again", async () => {
  await using folder = await TestFolder.create();
  const records = new PackageRecords(folder.path);
  await folder.write("kubepkg/line4/current.json", JSON.stringify(release("1.0.0")));
  await Deno.chmod(`${folder.path}/kubepkg/line4/current.json`, 0o644);
  await Deno.chmod(`${folder.path}/kubepkg`, 0o755);
  await records.write(release("2.0.0"));
  await records.pending.write({ kubepkg: release("3.0.0") });
  await records.handovers.write(idOf("line4"), { place: { kubectl: true }, kubepkg: release("2.0.0"), files: [] });
  const files = await folder.listFiles("kubepkg");
  assertEquals(
    files,
    ["current.json", "handover.json", "history/000001.json", "pending.json"].map((it) => `line4/${it}`),
  );
  for (const file of files) {
    assertEquals((await Deno.stat(`${folder.path}/kubepkg/${file}`)).mode! & 0o777, 0o600, file);
  }
  assertEquals((await Deno.stat(`${folder.path}/kubepkg`)).mode! & 0o777, 0o700);
});
