import { Random } from "../../tests/support/random.ts";

/** Plain bytes that are compressed. */
export interface ModelInput {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Sizes around what compressors treat in a special way. */
const SIZES = [0, 1, 2, 3, 4, 5, 16, 17, 100, 127, 128, 258, 259, 4096, 32_506, 32_507, 32_767, 32_768, 32_769].concat(
  [65_274, 65_275, 65_535, 65_536, 65_537, 98_304, 131_072],
);

/** Makes inputs of several kinds, the largest of `size` bytes. */
export async function makeInputs(size: number): Promise<ModelInput[]> {
  const random = new Random(17);
  const text = makeText(size, random);
  const inputs: ModelInput[] = [
    { name: "random", bytes: fill(size, () => random.below(256)) },
    { name: "four letters", bytes: fill(size, () => 97 + random.below(4)) },
    { name: "zeros", bytes: new Uint8Array(size) },
    { name: "text", bytes: text },
    { name: "machine code", bytes: await readExecutable(size) },
    { name: "tar", bytes: await makeTar(size) },
    { name: "random, then text, then zeros", bytes: makeMixture(size, text, random) },
  ];
  for (const length of SIZES) inputs.push({ name: `${length} bytes of text`, bytes: text.slice(0, length) });
  return inputs;
}

function fill(size: number, next: () => number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(size).map(next);
}

function makeText(size: number, random: Random): Uint8Array<ArrayBuffer> {
  const words = Array.from(
    { length: 2000 },
    () => String.fromCharCode(...Array.from({ length: 2 + random.below(8) }, () => 97 + random.below(26))),
  );
  let text = "";
  while (text.length < size) {
    text += words[random.below(1 + random.below(words.length))]! + (random.below(12) === 0 ? "\n" : " ");
  }
  return new TextEncoder().encode(text.slice(0, size));
}

async function readExecutable(size: number): Promise<Uint8Array<ArrayBuffer>> {
  using file = await Deno.open(Deno.execPath());
  await file.seek(8_000_000, Deno.SeekMode.Start);
  const bytes = new Uint8Array(size);
  let length = 0;
  for (let count; length < size && (count = await file.read(bytes.subarray(length))) !== null;) length += count;
  return bytes.slice(0, length);
}

// The sources of this project, as a tar.
async function makeTar(size: number): Promise<Uint8Array<ArrayBuffer>> {
  const folder = new URL("../..", import.meta.url).pathname;
  const { stdout } = await new Deno.Command("tar", { args: ["-C", folder, "-c", "lib", "tests"] }).output();
  return stdout.slice(0, size);
}

function makeMixture(size: number, text: Uint8Array, random: Random): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size;) {
    const length = Math.min(size - at, 100 + random.below(60_000));
    const kind = random.below(3);
    if (kind === 0) bytes.set(fill(length, () => random.below(256)), at);
    if (kind === 1) bytes.set(text.subarray(0, length), at);
    at += length;
  }
  return bytes;
}
