import { assertEquals } from "../../support/assert.ts";
import { makeParts } from "../../support/bundle_parts.ts";
import { APP, createSite, ID, LAYOUT, packApp, PARTS, parts } from "./import_parts_support.ts";

const partsOf = async (version: string) => {
  return await makeParts((await packApp(version)).kubepkg, LAYOUT, { contents: APP.contents });
};
const relabelled = { ...APP.kubepkg, metadata: { ...APP.kubepkg.metadata, labels: { other: "pack" } } };

// `kept` are the parts that count after the import; `undefined` when nothing is pending then.
const ROWS: readonly {
  readonly what: string;
  readonly bundle: () => Promise<Uint8Array<ArrayBuffer>>;
  readonly received?: readonly number[];
  readonly force?: boolean;
  readonly warning?: string;
  readonly isRefused?: boolean;
  readonly kept: readonly number[] | undefined;
}[] = [
  { what: "a part of the same pack", bundle: async () => (await parts())[1]!, kept: [1, 2] },
  { what: "the whole bundle of the release", bundle: () => Promise.resolve(APP.bundle), kept: undefined },
  {
    what: "a part of a higher version",
    bundle: async () => (await partsOf("1.1.0"))[1]!,
    warning: "part 1 of line4@1.0.0 was received before; line4@1.1.0 discards it",
    kept: [2],
  },
  {
    what: "a part of a higher version, after two parts",
    bundle: async () => (await partsOf("1.1.0"))[0]!,
    received: [1, 2],
    warning: "parts 1 and 2 of line4@1.0.0 were received before; line4@1.1.0 discards them",
    kept: [1],
  },
  {
    what: "the whole bundle of a higher version",
    bundle: async () => (await packApp("1.1.0")).bundle,
    warning: "part 1 of line4@1.0.0 was received before; line4@1.1.0 discards it",
    kept: undefined,
  },
  {
    what: "a part of another pack, by force",
    bundle: async () => (await parts(relabelled))[1]!,
    force: true,
    warning: "part 1 of line4@1.0.0 (packed as ID in 3 parts) was received before; line4@1.0.0 discards it",
    kept: [2],
  },
  {
    what: "a part of the same content in other sizes, by force",
    bundle: async () => (await parts(APP.kubepkg, {}, [LAYOUT[0]!, LAYOUT.slice(1).flat()]))[0]!,
    received: [1, 2],
    force: true,
    warning: "parts 1 and 2 of line4@1.0.0 (packed as ID in 3 parts) were received before; line4@1.0.0 discards them",
    kept: [1],
  },
  { what: "a part of another pack", bundle: async () => (await parts(relabelled))[1]!, isRefused: true, kept: [1] },
  { what: "a part of a lower version", bundle: async () => (await partsOf("0.9.0"))[1]!, isRefused: true, kept: [1] },
];
for (const { what, bundle, received = [1], force, warning, isRefused = false, kept } of ROWS) {
  Deno.test(`received parts are not discarded without a word: ${what}`, async () => {
    await using site = await createSite();
    for (const number of received) await site.install(PARTS[number - 1]!);
    const before = await site.records.pending.read(ID);
    const expected = warning === undefined ? undefined : [warning.replace("ID", before!.part!.id)];
    const { plan } = await site.install(await bundle(), { force, dryRun: true });
    assertEquals([plan.warnings, plan.refusal !== undefined], [expected, isRefused]);
    assertEquals(await site.records.pending.read(ID), before);
    if (!isRefused) assertEquals((await site.install(await bundle(), { force })).plan.warnings, expected);
    assertEquals((await site.records.pending.read(ID))?.part?.received, kept);
  });
}
