import type { Random } from "../support/random.ts";

type Json = unknown;
type Place = { readonly holder: Record<string, Json> | Json[]; readonly key: string | number };

const DIGEST = /^sha(?:256|512):[0-9a-f]+$/;
const HEX = "0123456789abcdef".repeat(8);

/** Values that readers of JSON often handle wrongly. */
const HOSTILE: readonly ((random: Random) => Json)[] = [
  () => null,
  () => true,
  () => "",
  () => [],
  () => ({}),
  () => -1,
  () => 0,
  () => 1.5,
  () => 2 ** 53,
  () => Number.MAX_SAFE_INTEGER,
  () => 1e308,
  () => 2 ** 31,
  () => "../../canary",
  () => "/etc/passwd",
  () => "..",
  () => ".hidden",
  () => "a/../../b",
  () => "a\\..\\b",
  () => "nul\0inside",
  () => "a line\nand another",
  () => "\u001b[31mred\u001b[0m",
  () => "\ud800",
  () => "\u202egnp",
  () => "__proto__",
  () => "constructor",
  () => "registry.test/../x:1",
  () => "registry.test:99999/app:1",
  () => "[::1]:1/app@" + "sha256:" + HEX.slice(0, 64),
  () => `${"a".repeat(300)}/b:1`,
  () => "1.0.0-" + "9".repeat(400),
  () => "99999999999999999999.0.0",
  () => "x".repeat(5000),
  () => "sha256:" + HEX.slice(0, 64),
  () => "sha512:" + HEX.slice(0, 128),
  () => "sha256:" + "../".repeat(21) + "x",
  () => "md5:" + HEX.slice(0, 32),
  (random) => random.next(),
  (random) => "x".repeat(random.below(70)),
  () => ({ hasOwnProperty: 1, toString: 2, valueOf: 3 }),
  () => Array.from({ length: 500 }, () => ({})),
];

/** Applies one random mutation to a JSON text. @returns the text, and the mutation in words */
export function mutateJson(text: string, random: Random): { readonly text: string; readonly what: string } {
  if (random.chance(0.12)) return mutateText(text, random);
  const document = { root: JSON.parse(text) as Json };
  const places = [...placesIn(document)];
  const place = random.pick(places);
  const what = mutatePlace(place, places, random);
  return { text: JSON.stringify(document.root) ?? "", what: `${what} at ${String(place.key)}` };
}

function mutatePlace({ holder, key }: Place, places: readonly Place[], random: Random): string {
  const here = holder as Record<string | number, Json>;
  const value = here[key];
  switch (random.below(9)) {
    case 0:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete here[key];
      return "a field removed";
    case 1: {
      // Another value of the same kind, such as another digest, keeps the document plausible.
      const alike = places.map((place) => (place.holder as Record<string | number, Json>)[place.key])
        .filter((other) => typeof other === typeof value && (typeof value !== "string" || isAlike(other, value)));
      here[key] = structuredClone(random.pick(alike));
      return "a value taken from elsewhere";
    }
    case 2:
      if (typeof value === "number") here[key] = value + random.pick([-1, 1, 512, -value, value]);
      else if (typeof value === "string") here[key] = changeText(value, random);
      else here[key] = random.pick(HOSTILE)(random);
      return "a value changed a little";
    case 3:
      if (Array.isArray(holder)) holder.splice(Number(key), 0, structuredClone(value));
      else here[`${key}${random.pick(["2", " ", "\0", "/../x"])}`] = structuredClone(value);
      return "a field doubled";
    case 4: {
      const [a, b] = [random.pick(places), random.pick(places)];
      const [x, y] = [a.holder as Record<string | number, Json>, b.holder as Record<string | number, Json>];
      const [valueA, valueB] = [structuredClone(x[a.key]), structuredClone(y[b.key])];
      x[a.key] = valueB;
      y[b.key] = valueA;
      return "two values swapped";
    }
    case 5:
      if (typeof value === "object" && value !== null && !Array.isArray(value)) {
        const name = random.pick(["constructor", "prototype", "toString", "manifests", "layers", "digest", "size", ""]);
        (value as Record<string, Json>)[name] = random.pick(HOSTILE)(random);
        return "a field added";
      }
      here[key] = [value];
      return "a value put into a list";
    case 6: {
      const keys = Object.keys(here);
      const name = random.pick(HOSTILE.map((make) => make(random)).filter((it) => typeof it === "string"));
      if (Array.isArray(holder) || keys.length === 0) here[key] = name;
      else {
        delete here[key];
        here[name] = value;
      }
      return "a field renamed";
    }
    default:
      here[key] = random.pick(HOSTILE)(random);
      return "a hostile value";
  }
}

// Mutates the text itself, in ways that a parsed document cannot express.
function mutateText(text: string, random: Random): { text: string; what: string } {
  const brace = text.indexOf("{") + 1;
  const insert = (what: string, more: string) => ({ what, text: text.slice(0, brace) + more + text.slice(brace) });
  switch (random.below(8)) {
    case 0:
      return insert("the key __proto__", `"__proto__":{"polluted":true},`);
    case 1:
      return insert("the key __proto__ in escapes", `"\\u005f_proto__":{"polluted":true},`);
    case 2:
      return insert("deep nesting", `"x":${"[".repeat(20_000)}${"]".repeat(20_000)},`);
    case 3:
      return insert("nesting that is never closed", `"x":${'{"a":'.repeat(5000)}`);
    case 4:
      return insert("a number that does not fit", `"x":12345678901234567890,"y":1e999,`);
    case 5:
      return { what: "a byte order mark", text: `\ufeff${text}` };
    case 6:
      return { what: "cut off", text: text.slice(0, random.below(text.length)) };
    default: {
      const field = /"(?:name|version|digest|size|images|digests)":/.exec(text.slice(random.below(text.length)));
      return insert("the same key twice", `${field?.[0] ?? '"kind":'}"other",`);
    }
  }
}

function changeText(text: string, random: Random): string {
  const at = random.below(text.length);
  switch (random.below(5)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return text.slice(0, at) + random.pick(["/", "..", ":", "@", "\0", "\n", " ", "%2e", "A", "é", "9"]) +
        text.slice(at);
    case 2:
      return text.toUpperCase();
    case 3:
      return text + text;
    default:
      return text.slice(0, at) + random.pick([..."0a-./:"]) + text.slice(at + 1);
  }
}

function isAlike(a: unknown, b: string): boolean {
  return DIGEST.test(String(a)) === DIGEST.test(b);
}

function* placesIn(holder: Record<string, Json> | Json[]): Generator<Place> {
  for (const key of Array.isArray(holder) ? holder.keys() : Object.keys(holder)) {
    yield { holder, key };
    const value = (holder as Record<string | number, Json>)[key];
    if (typeof value === "object" && value !== null) yield* placesIn(value as Record<string, Json> | Json[]);
  }
}
