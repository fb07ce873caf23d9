import { choosePublicOrigin, formatPairing } from "../../../lib/page/format_pairing.ts";
import { CODE_MILLISECONDS, PairingCodes } from "../../../lib/page/pairing_codes.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { peerTest } from "../../support/peers.ts";
import { TestFolder } from "../../support/test_folder.ts";

const START = 1_000_000_000_000;

for (
  const { name, after, expected } of [
    { name: "at once", after: 0, expected: ["accepted", "used"] },
    { name: "at the last moment", after: CODE_MILLISECONDS - 1, expected: ["accepted", "used"] },
    { name: "after ten minutes", after: CODE_MILLISECONDS, expected: ["expired", "used"] },
    { name: "after the clock was set back", after: -1, expected: ["expired", "used"] },
  ]
) {
  Deno.test(`pairing: a code that is redeemed ${name} is ${expected[0]}, and then used`, async () => {
    await using folder = await TestFolder.create();
    let now = START;
    const codes = new PairingCodes(folder.path, { now: () => now });
    const { code } = await codes.create();
    now += after;
    // Another process may have made the code.
    const others = new PairingCodes(folder.path, { now: () => now });
    assertEquals([await others.redeem(code), await codes.redeem(code)], expected);
  });
}

Deno.test("pairing: a wrong code is refused, and leaves the right one", async () => {
  await using folder = await TestFolder.create();
  const codes = new PairingCodes(folder.path);
  for (const code of ["", "x", "../.token", "\0"]) assertEquals(await codes.redeem(code), "used");
  const { code } = await codes.create();
  assertEquals([await codes.redeem(`${code}a`), await codes.redeem(code)], ["used", "accepted"]);
});

Deno.test("pairing: codes are for URLs, differ, are stored as hashes for their owner alone, and go when they expire", async () => {
  await using folder = await TestFolder.create();
  let now = START;
  const codes = new PairingCodes(folder.path, { now: () => now });
  const made = [await codes.create(), await codes.create()].map(({ code }) => code);
  assertEquals([new Set(made).size, made.every((code) => /^[a-z2-7]{26}$/.test(code))], [2, true]);
  const names = () => [...Deno.readDirSync(`${folder.path}/kubepkg/.codes`)].map(({ name }) => name);
  assert(!names().some((name) => made.some((code) => name.includes(code))), "the code is not the name");
  const { mode } = await Deno.stat(`${folder.path}/kubepkg/.codes/${names()[0]}`);
  assertEquals(mode! & 0o777, 0o600);
  now += CODE_MILLISECONDS;
  await codes.create();
  assertEquals(names().length, 1);
});

peerTest("[96] pairing: the code that root makes belongs to the owner of the data folder", ["root"], async () => {
  await using folder = await TestFolder.create();
  await Deno.chown(folder.path, 65534, 65533);
  await new PairingCodes(folder.path).create();
  const [name] = await folder.listFiles();
  const paths = ["kubepkg", "kubepkg/.codes", name!].map((path) => Deno.statSync(`${folder.path}/${path}`));
  assertEquals(paths.map(({ uid, gid }) => [uid, gid]), paths.map(() => [65534, 65533]));
  assertEquals(paths.slice(1).map(({ mode }) => mode! & 0o777), [0o700, 0o600]);
});

Deno.test("pairing: the text has the address with the code after #, and a QR code that fits into 80 columns", () => {
  const text = formatPairing("https://192.168.100.200:36060", { code: "a".repeat(26), expires: 0 });
  assert(text.includes(`\nhttps://192.168.100.200:36060/#t=${"a".repeat(26)}\n`), text);
  assert(text.split("\n").every((line) => line.length <= 80), text);
});

for (
  const [url, addresses, expected] of [
    ["http://127.0.0.1:36060", ["10.0.0.1"], "http://127.0.0.1:36060"],
    ["http://0.0.0.0:36060", ["127.0.0.1", "::1", "172.17.0.1", "10.0.0.1"], "http://10.0.0.1:36060"],
    ["http://0.0.0.0:36060", ["172.17.0.1", "8.8.8.8"], "http://8.8.8.8:36060"],
    ["https://[::]:443", ["fe80::1", "169.254.1.1", "192.168.1.2"], "https://192.168.1.2"],
    ["http://0.0.0.0:36060", [], "http://127.0.0.1:36060"],
  ] as const
) {
  Deno.test(`pairing: ${url} of a machine with ${addresses.join(", ") || "no address"} is ${expected}`, () => {
    assertEquals(choosePublicOrigin(url, addresses), expected);
  });
}
