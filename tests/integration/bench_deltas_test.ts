import { Bench } from "../../scripts/bench/bench.ts";
import { measureDeltas } from "../../scripts/bench/delta_rows.ts";
import { assertEquals, assertLess, assertStringIncludes } from "../support/assert.ts";
import { gnuGzip, makeText } from "../support/delta_fixture.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

const encoder = new TextEncoder();

/** Writes two layers and their plain bytes. @returns the line that `scripts/delta/pairs` prints */
async function writePair(folder: TestFolder, name: string, plain: readonly [string, string]): Promise<string> {
  const paths: string[] = [];
  for (const suffix of ["tar.gz", "tar"]) {
    for (const [i, text] of plain.entries()) {
      const bytes = encoder.encode(text);
      paths.push(`${folder.path}/${name}-${i}.${suffix}`);
      await Deno.writeFile(paths.at(-1)!, suffix === "tar" ? bytes : gnuGzip(bytes));
    }
  }
  return [name, "gzip", ...paths].join("\t");
}

peerTest(
  "P13 measures deltas of pairs of layers beside patches, and says why there is none",
  ["zstd", "gzip"],
  async () => {
    await using folder = await TestFolder.create();
    const [text, other] = [makeText(1, 300_000), makeText(2, 300_000)];
    const lines = [
      await writePair(folder, "changed", [text, `${text.slice(0, 100_000)}changed${text.slice(100_000)}`]),
      await writePair(folder, "unrelated", [text, other]),
    ];
    await folder.write("pairs.tsv", lines.join("\n") + "\n");
    const options = {
      size: 65536,
      large: 65536,
      images: 1,
      bundled: 1,
      rounds: 1,
      constantServer: [],
      peers: undefined,
    };
    const measure = async (pairs: string | undefined) => {
      const root = await Deno.makeTempDir({ dir: folder.path });
      const bench = await Bench.create(root, { ...options, pairs, isPartial: true });
      return { rows: await measureDeltas(bench), missing: [...bench.missing] };
    };
    const { rows: [changed, unrelated, ...others] } = await measure(`${folder.path}/pairs.tsv`);
    assertEquals(others, []);
    assertEquals(changed!.series.slice(0, 2).map(({ name }) => name), ["crpe, making the delta", "crpe, applying it"]);
    assertLess(changed!.series[0]!.median, 5);
    assertStringIncludes(changed!.notes[0]!, "model zlib/1");
    assertStringIncludes(changed!.bars.map(({ what }) => what).join(), "% of the layer, beside zstd");
    assertEquals(unrelated!.series.some(({ name }) => name.startsWith("crpe")), false);
    assertStringIncludes(unrelated!.notes[0]!, "no delta: a delta would not be much smaller");
    assertEquals(unrelated!.bars.every(({ value }) => value === 100), true);

    const none = await measure(undefined);
    assertEquals(none.rows, []);
    assertStringIncludes(none.missing.join(), "pairs of layers");
  },
);
