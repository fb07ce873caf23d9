import type { Random } from "../support/random.ts";
import { changeHead, makePart, type TarPart } from "./tar_parts.ts";

const encoder = new TextEncoder();
const HEX = "0123456789abcdef".repeat(4);
const EMPTY = new Uint8Array(0);

const NAMES: readonly string[] = [
  ...["../../canary/planted", "/tmp/planted", "..", ".", "./", "", "blobs/../../planted", "blobs/sha256/../../../x"],
  ...["kubepkg.json", "./kubepkg.json", ".//kubepkg.json", "kubepkg.json/", "KUBEPKG.JSON", "index.json", "oci-layout"],
  ...[`blobs/sha256/${HEX}`, `blobs/sha256/${HEX}/`, `blobs/sha256/${HEX}/x`, `blobs/sha256/${HEX.toUpperCase()}`],
  ...[`./blobs/sha256/${HEX}`, `blobs//sha256/${HEX}`, `blobs/sha512/${HEX}`, `blobs/sha256/${HEX}0`, "blobs/md5/00"],
  ...["pieces/sha256/x/0", "blobs\\sha256\\x", "manifest.json", "repositories", "a\nb", "\u001b[2J", "blobs/", "con"],
];

// The offset and length of each field (POSIX.1, pax, "ustar Interchange Format").
const FIELDS: readonly (readonly [name: string, at: number, length: number])[] = [
  ["name", 0, 100],
  ["mode", 100, 8],
  ["owner", 108, 8],
  ["size", 124, 12],
  ["size", 124, 12],
  ["size", 124, 12],
  ["time", 136, 12],
  ["type", 156, 1],
  ["type", 156, 1],
  ["link's name", 157, 100],
  ["magic", 257, 8],
  ["owner's name", 265, 32],
  ["prefix", 345, 155],
  ["checksum", 148, 8],
];

const VALUES: readonly ((random: Random, length: number) => Uint8Array)[] = [
  (_, length) => new Uint8Array(length),
  (_, length) => new Uint8Array(length).fill(0xff),
  (_, length) => encoder.encode("7".repeat(length - 1) + "\0"),
  (_, length) => encoder.encode("1".padStart(length - 1, "0") + "\0"),
  (_, length) => encoder.encode(" ".repeat(length)),
  (_, length) => encoder.encode("-1".padEnd(length, "\0")),
  // GNU's base-256 numbers: some TiB, and a negative one.
  (_, length) => new Uint8Array(length).fill(0x80, 0, 1).fill(1, 5, 6),
  (_, length) => new Uint8Array(length).fill(0x80, 0, 1).fill(0x7f, length - 3),
  (random, length) => random.bytes(length),
  (random, length) => encoder.encode(random.pick(NAMES)).slice(0, length),
  (random, length) => encoder.encode(random.below(300_000).toString(8).padStart(length - 1, "0") + "\0").slice(-length),
];

const RECORDS: readonly string[] = [
  ...[
    "path=../../canary/planted",
    "path=kubepkg.json",
    "path=",
    "size=0",
    "size=99999999999999",
    "size=-1",
    "size=1e3",
  ],
  ...["GNU.sparse.major=1", "GNU.sparse.size=99", "SCHILY.xattr.user.x=\0\u0001", "linkpath=/etc/passwd", "=x", "x"],
  ...["hdrcharset=BINARY", "mtime=1.5", "comment=harmless", `path=blobs/sha256/${HEX}`, "path=a\0b"],
];

type Mutation = (parts: readonly TarPart[], random: Random) => TarPart[];

const MUTATIONS: Readonly<Record<string, Mutation>> = {
  "two entries swapped": (parts, random) => {
    const [a, b] = [random.below(parts.length), random.below(parts.length)];
    return parts.with(a, parts[b]!).with(b, parts[a]!);
  },
  "all but the first reversed": ([first, ...rest]) => [first!, ...rest.reverse()],
  "an entry doubled": (parts, random) => parts.toSpliced(random.below(parts.length + 1), 0, random.pick(parts)),
  "an entry removed": (parts, random) => parts.toSpliced(random.below(parts.length), 1),
  "only some entries left": (parts, random) => parts.filter((_, i) => i === 0 || random.chance(0.5)),
  "an entry under another's name": (parts, random) => {
    return change(parts, random, ({ content }) => makePart(random.pick(parts).name, content));
  },
  "an entry under a hostile name": (parts, random) => {
    return change(parts, random, ({ content }) => makePart(random.pick(NAMES), content));
  },
  "an entry shorter": (parts, random) => {
    return change(parts, random, ({ name, content }) => makePart(name, content.slice(0, random.below(content.length))));
  },
  "an entry longer": (parts, random) => {
    return change(parts, random, ({ name, content }) => {
      const longer = new Uint8Array(content.length + 1 + random.below(2000));
      longer.set(content);
      return makePart(name, longer);
    });
  },
  "an entry of other bytes": (parts, random) => {
    return change(parts, random, (part) => {
      const content = part.content.slice();
      content[random.below(content.length)]! ^= 1 << random.below(8);
      return { ...part, content };
    });
  },
  "a field of a header changed": changeField,
  "another field of a header changed": changeField,
  "a hostile entry": (parts, random) => {
    const type = random.pick([..."01234567KSVDMN\0"]);
    const { name, head, content } = makePart(random.pick(NAMES), random.bytes(random.pick([0, 10, 600])));
    const link = changeHead(changeHead(head, 156, encoder.encode(type)), 157, encoder.encode("/etc/passwd"));
    return insert(parts, random, { name, head: link, content: "0S\0".includes(type) ? content : EMPTY });
  },
  "an extended header": (parts, random) => {
    const records = [random.pick(RECORDS), random.pick(RECORDS)].slice(random.below(2)).map((record) => {
      const length = encoder.encode(record).length + 2 + random.pick([2, 2, 2, 1, 3, 5]);
      return `${random.chance(0.1) ? "999999" : length} ${record}\n`;
    });
    return insert(parts, random, special(random.pick(["x", "x", "g"]), encoder.encode(records.join(""))));
  },
  "a long name": (parts, random) => {
    const name = random.chance(0.3) ? "a/".repeat(random.below(20_000)) + "a" : random.pick(NAMES);
    return insert(parts, random, special(random.pick(["L", "L", "K"]), encoder.encode(`${name}\0`)));
  },
  "a header that claims much": (parts, random) => {
    const { head, ...part } = special(random.pick(["x", "g", "L"]), EMPTY);
    return insert(parts, random, { ...part, head: changeHead(head, 124, encoder.encode("77777777777\0")) });
  },
  "an entry of many zeros": (parts, random) => {
    return insert(parts, random, makePart(random.pick(NAMES), new Uint8Array(random.pick([1, 8]) * 1024 * 1024)));
  },
  "a block of zeros": (parts, random) => {
    return insert(parts, random, { name: "", head: new Uint8Array(512 * (1 + random.below(3))), content: EMPTY });
  },
  "many headers": (parts, random) => {
    const folder = changeHead(makePart("blobs/", EMPTY).head, 156, encoder.encode("5"));
    return insert(parts, random, { name: "", head: repeat(folder, random.pick([20, 11_000])), content: EMPTY });
  },
};

/** Rearranges the entries of a tar, or changes headers and updates their checksums. */
export function mutateTar(parts: readonly TarPart[], random: Random): { parts: TarPart[]; what: string } {
  // Mutations that cost a hundred times as much are used a tenth as often.
  const names = Object.keys(MUTATIONS);
  const first = random.pick(names);
  const what = first.includes("many") && random.chance(0.9) ? random.pick(names.slice(0, 12)) : first;
  return { parts: parts.length === 0 ? [] : MUTATIONS[what]!(parts, random), what };
}

function changeField(parts: readonly TarPart[], random: Random): TarPart[] {
  const [name, at, length] = random.pick(FIELDS);
  const field = name === "type"
    ? encoder.encode(random.pick([..."01234567xgLKSVD\0"]))
    : random.pick(VALUES)(random, length);
  return change(parts, random, (part) => {
    const head = changeHead(part.head, at, field.subarray(0, length));
    if (name === "checksum") head.set(field.subarray(0, length), head.length - 512 + at);
    return { ...part, head };
  });
}

function change(parts: readonly TarPart[], random: Random, changed: (part: TarPart) => TarPart): TarPart[] {
  const i = random.below(parts.length);
  return parts.with(i, changed(parts[i]!));
}

function insert(parts: readonly TarPart[], random: Random, part: TarPart): TarPart[] {
  return parts.toSpliced(random.below(parts.length + 1), 0, part);
}

function special(type: string, content: Uint8Array<ArrayBuffer>): TarPart {
  const { head } = makePart("././@LongLink", content);
  return { name: "", head: changeHead(head, 156, encoder.encode(type)), content };
}

function repeat(bytes: Uint8Array, times: number): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(bytes.length * times);
  for (let i = 0; i < times; i++) all.set(bytes, i * bytes.length);
  return all;
}
