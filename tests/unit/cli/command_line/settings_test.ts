import { parseConfigFile } from "../../../../lib/cli/command_line/config_file.ts";
import { parseCommandLine } from "../../../../lib/cli/command_line/parse_command_line.ts";
import { parseAddress, readAddress, readSettings } from "../../../../lib/cli/command_line/settings.ts";
import { COMMANDS } from "../../../../lib/cli/commands.ts";
import { formatPlatform } from "../../../../lib/oci/platform.ts";
import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "../../../support/assert.ts";
import { run } from "../../../../lib/cli/run.ts";
import { TestFolder } from "../../../support/test_folder.ts";
import { createTestIo } from "../../../support/test_io.ts";
import { UsageError } from "../../../../lib/oci/error.ts";

const registry = await COMMANDS.find(({ name }) => name === "registry")!.load();
const pack = await COMMANDS.find(({ name }) => name === "pack")!.load();

for (
  const [what, args, env, expected] of [
    ["--data before all others", ["--data", "/a"], { STORAGE_ROOT: "/b", XDG_DATA_HOME: "/c", HOME: "/d" }, "/a"],
    ["else $STORAGE_ROOT", [], { STORAGE_ROOT: "/b", XDG_DATA_HOME: "/c", HOME: "/d" }, "/b"],
    ["else $XDG_DATA_HOME", [], { XDG_DATA_HOME: "/c", HOME: "/d" }, "/c/crpe"],
    ["else $HOME", [], { HOME: "/d" }, "/d/.local/share/crpe"],
    ["without a trailing slash", ["--data", "/a//"], {}, "/a"],
    ["but keeps the root /", ["--data", "/"], {}, "/"],
  ] as const
) {
  Deno.test(`readSettings() chooses the data folder: ${what}`, async () => {
    const settings = await readSettings(parseCommandLine(registry, args), createTestIo({ env }));
    assertEquals(settings.data, expected);
  });
}

for (
  const [args, env, expected] of [
    [["--platform", "linux/x86_64,linux/aarch64"], { PLATFORMS: "linux/386" }, ["linux/amd64", "linux/arm64"]],
    [[], { PLATFORMS: "linux/arm" }, ["linux/arm/v7"]],
    [[], {}, undefined],
  ] as const
) {
  Deno.test(`readSettings() takes platforms from ${JSON.stringify(args)} and ${JSON.stringify(env)}`, async () => {
    const settings = await readSettings(
      parseCommandLine(pack, ["x", ...args]),
      createTestIo({ env: { HOME: "/h", ...env } }),
    );
    assertEquals(settings.platforms?.map(formatPlatform), expected as string[] | undefined);
  });
}

for (const [args, expected] of [[[], true], [["--no-complete"], false]] as const) {
  Deno.test(`[68] readSettings() of [${args}] ${expected ? "completes" : "does not complete"} images`, async () => {
    const settings = await readSettings(parseCommandLine(registry, args), createTestIo({ env: { HOME: "/h" } }));
    assertEquals(settings.isCompleting, expected);
  });
}

for (
  const [text, hostname, port] of [
    [":6060", undefined, 6060],
    ["6060", undefined, 6060],
    ["127.0.0.1:0", "127.0.0.1", 0],
    ["registry.lan:80", "registry.lan", 80],
    ["[::1]:6060", "::1", 6060],
  ] as const
) {
  Deno.test(`parseAddress() reads ${text}`, () => assertEquals(parseAddress(text), { hostname, port }));
}

Deno.test("readAddress() changes only the port to $PORT, and ignores $PORT with --addr", () => {
  const io = createTestIo({ env: { PORT: "7000" } });
  const config = { upstream: [], private: [], hosts: {} };
  assertEquals(readAddress(parseCommandLine(registry, []), io, { config, defaultPort: 6060 }).port, 7000);
  assertEquals(readAddress(parseCommandLine(registry, ["--addr", ":1"]), io, { config, defaultPort: 6060 }).port, 1);
  const { hostname, port } = readAddress(parseCommandLine(registry, []), io, {
    config: { ...config, addr: "a:2" },
    defaultPort: 6060,
  });
  assertEquals({ hostname, port }, { hostname: "a", port: 7000 });
});

Deno.test("parseConfigFile() parses YAML and JSON to the same configuration", () => {
  const expected = {
    upstream: ["quay.io"],
    offline: true,
    platform: "linux/arm64,linux/amd64",
    private: [],
    hosts: { "registry.lan:5000": { url: "http://registry.lan:5000", username: "u", password: "p" } },
  };
  const yaml = [
    "upstream: quay.io",
    "offline: true",
    "platform: [linux/arm64, linux/amd64]",
    "hosts:",
    "  registry.lan:5000:",
    "    url: http://registry.lan:5000",
    "    username: u",
    "    password: p",
  ].join("\n");
  assertEquals(parseConfigFile(yaml, "x.yaml"), expected);
  assertEquals(parseConfigFile(JSON.stringify({ ...expected, upstream: "quay.io" }), "x.json"), expected);
  assertEquals(parseConfigFile("", "x.yaml"), { upstream: [], private: [], hosts: {} });
});

for (
  const [what, text, message] of [
    ["an unknown field", "uptsream: x", 'uptsream is not a known field; did you mean "upstream"?'],
    ["a field without its space", "hosts: {a.test: {password:hunter2}}", "hosts.a.test.password… is not a known field"],
    ["a long field", `${"x".repeat(5000)}: 1`, `x.yaml: ${"x".repeat(40)}… is not a known field`],
    [
      "a field that is no name",
      `hosts: {"a.test": {"ca-file\\u202e": x}}`,
      "hosts.a.test.ca-file… is not a known field",
    ],
    ["an unknown field of a host", "hosts: {a.b: {pasword: secret}}", 'did you mean "password"?'],
    ["a wrong type", "offline: maybe", "offline has the wrong type; write true or false"],
    ["a size that is a number", "max-memory: 160", "max-memory has the wrong type; write a size, such as 160MiB"],
    ["text that is not YAML", "a: [", "Cannot read the configuration x.yaml"],
    ["a list", "- a", "the document has the wrong type; write its settings, each as NAME: VALUE"],
    ["a host given twice", "hosts:\n  a.b: {}\n  a.b: {}", "a field is given twice at line 3, column 3"],
    ["two documents", "data: x\n---\ndata: y", "it has more than one document at line"],
    [
      "a host that is a text",
      "hosts: {a.b: x}",
      "hosts.a.b has the wrong type; write its settings, each as NAME: VALUE",
    ],
    ["an empty text", "upstream: ''", "x.yaml: upstream has an empty text"],
    ["an empty text of a list", "peer: [http://a.test, '']", "x.yaml: peer has an empty text"],
    ["an empty text of a host", "hosts: {a.test: {url: ''}}", "x.yaml: hosts.a.test.url has an empty text"],
    ["an empty data folder", "data: ''", "x.yaml: data has an empty text"],
    ["an alias as password", "hosts: {a.b: {password: *secret}}", "it is not YAML"],
    ["a tag as password", "hosts: {a.b: {password: !secret x}}", "it is not YAML"],
  ] as const
) {
  Deno.test(`parseConfigFile() refuses ${what} without repeating a secret`, () => {
    const error = assertThrows(() => parseConfigFile(text, "x.yaml"), UsageError, message);
    assertEquals(error.message.includes("secret"), false);
  });
}

// FILE is the configuration. Flags are named by their flag, although there is a configuration.
for (
  const [text, args, message] of [
    ["upstream: http://x", [], 'upstream of FILE "http://x": write HOST'],
    ["upstream: a.test", ["--upstream=http://x"], '--upstream "http://x": write HOST'],
    ["peer: x", [], 'peer of FILE "x": write the URL'],
    ["peer: x", ["--peer=y"], '--peer "y": write the URL'],
    ["budget: x", [], 'budget of FILE "x": write SIZE/day'],
    ["budget: [1GiB/day, 2GiB/day]", [], "budget of FILE: there are two of all registries a day"],
    ["window: x", [], 'window of FILE "x": write HH:MM'],
    ["limit-rate: 1B", [], 'limit-rate of FILE "1B": the least is'],
    ["limit-rate: 1B", ["--limit-rate=2B"], '--limit-rate "2B": the least is'],
    ["tag-ttl: x", [], 'tag-ttl of FILE "x": write a duration'],
    ["cache-max: '5'", [], 'cache-max of FILE "5": it has no unit'],
    ["max-memory: '5'", [], 'max-memory of FILE "5": it has no unit'],
    ["private: a b", [], 'private of FILE "a b": it is not a host'],
    ["private: a.test", [], "private of FILE: --require-login FILE is missing"],
    ["scrub: x", [], 'scrub of FILE "x": write a duration'],
    ["addr: a", [], 'addr of FILE "a": write HOST:PORT'],
    ["addr: a", ["--addr=b"], '--addr "b": write HOST:PORT'],
    ["data: s3://a/b", [], 'data of FILE "s3://a/b": it is a URL; write the path'],
  ] as const
) {
  Deno.test(`crpe registry ${args} with ${text} names where the wrong value is from`, async () => {
    await using folder = await TestFolder.create();
    const file = await folder.write("c.yaml", text);
    const io = createTestIo();
    const flags = Object.entries({ data: `${folder.path}/data`, addr: "127.0.0.1:0" })
      .flatMap(([name, value]) => text.startsWith(name) ? [] : [`--${name}=${value}`]);
    assertEquals(await run(["registry", `--config=${file}`, ...flags, ...args], io), 2);
    assertStringIncludes(io.errText, `crpe: Cannot use ${message.replace("of FILE", `of ${file}`)}`);
  });
}

Deno.test("a URL in $STORAGE_ROOT is refused, without its login", async () => {
  const io = createTestIo({ env: { STORAGE_ROOT: "http://u:p@a.test/b" } });
  assertEquals(await run(["images"], io), 2);
  assertStringIncludes(io.errText, 'Cannot use $STORAGE_ROOT "http://…@a.test/b": it is a URL; write the path');
});

const LINK = { budgets: [], windows: [] };

for (
  const [args, expected] of [
    [[], undefined],
    [["--discover"], { interface: undefined }],
    [["--discover", "--discover-on=eth0"], { interface: "eth0" }],
  ] as const
) {
  Deno.test(`[108] readSettings() looks for other crpes: ${args.join(" ") || "not without a flag"}`, async () => {
    const invocation = parseCommandLine(registry, [...args]);
    assertEquals((await readSettings(invocation, createTestIo({ env: { HOME: "/h" } }))).discovery, expected);
  });
}

Deno.test("[108] readSettings() refuses --discover-on without --discover", async () => {
  const invocation = parseCommandLine(registry, ["--discover-on=eth0"]);
  const io = createTestIo({ env: { HOME: "/h" } });
  await assertRejects(() => readSettings(invocation, io), UsageError, "without --discover");
});

for (
  const [args, expected] of [
    [[], undefined],
    [["--limit-rate=2MiB/s"], { ...LINK, rate: 2097152 }],
    [["--limit-rate=16k"], { ...LINK, rate: 16384 }],
    [["--budget=500MiB/day"], { ...LINK, rate: undefined, budgets: [{ bytes: 524288000, period: "day" }] }],
    [["--budget=1GB/month", "--budget=index.docker.io=1M/day"], {
      ...{ ...LINK, rate: undefined },
      budgets: [{ bytes: 1e9, period: "month" }, { host: "docker.io", bytes: 1048576, period: "day" }],
    }],
    [["--window=22:00-5:30", "--window=12:00-13:00"], {
      ...{ ...LINK, rate: undefined },
      windows: [{ from: 1320, to: 330 }, { from: 720, to: 780 }],
    }],
  ] as const
) {
  Deno.test(`[101] readSettings() limits the link: ${args.join(" ")}`, async () => {
    const { link } = await readSettings(parseCommandLine(registry, [...args]), createTestIo({ env: { HOME: "/h" } }));
    assertEquals(JSON.parse(JSON.stringify(link ?? null)), JSON.parse(JSON.stringify(expected ?? null)));
  });
}

for (
  const [args, message] of [
    [["--limit-rate=1KiB/s"], "the least is 4 KiB/s"],
    [["--limit-rate=2MiB/min"], "write a size"],
    [["--limit-rate=2"], "it has no unit"],
    [["--budget=500MiB"], "write SIZE/day or SIZE/month"],
    [["--budget=500MiB/week"], "write SIZE/day or SIZE/month"],
    [["--budget=500/day"], "it has no unit"],
    [["--budget=500KiB/day"], "the least is 1 MiB"],
    [["--budget=a/b=1MiB/day"], "write HOST as in"],
    [["--budget=1GiB/day", "--budget=2GiB/day"], "there are two of all registries a day"],
    [["--budget=a.io=1GiB/day", "--budget=a.io=2GiB/day"], "there are two of a.io a day"],
    [["--window=1-5"], "write HH:MM-HH:MM"],
    [["--window=01:00-25:00"], "write HH:MM-HH:MM"],
    [["--window=01:60-02:00"], "write HH:MM-HH:MM"],
    [["--window=01:00-01:00"], "write HH:MM-HH:MM"],
  ] as const
) {
  Deno.test(`[101] readSettings() refuses ${args.join(" ")}`, async () => {
    const invocation = parseCommandLine(registry, [...args]);
    await assertRejects(() => readSettings(invocation, createTestIo({ env: { HOME: "/h" } })), UsageError, message);
  });
}
