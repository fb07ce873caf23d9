import { loadCommands } from "../../../lib/cli/commands.ts";
import { run } from "../../../lib/cli/run.ts";
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { createTestIo } from "../../support/test_io.ts";

const COMMANDS = await loadCommands();

async function crpe(...args: string[]) {
  const io = createTestIo({ env: { HOME: "/nonexistent" } });
  const status = await run(args, io);
  return { status, out: io.outText, err: io.errText };
}

for (const flag of ["--version", "-v", "-V"]) {
  Deno.test(`crpe ${flag} prints the version`, async () => {
    const { status, out } = await crpe(flag);
    assert(/^crpe \d+\.\d+\.\d+\n$/.test(out), out);
    assertEquals(status, 0);
  });
}

for (const args of [["zzzzzz"], ["images", "--zzzzzz"], ["packages", "zzzzzz"], ["x"]]) {
  Deno.test(`crpe ${args.join(" ")} suggests nothing, because nothing is near`, async () => {
    const { status, err } = await crpe(...args);
    assertEquals(status, 2);
    assert(!err.includes("did you mean"), err);
  });
}

Deno.test("crpe --help lists every command", async () => {
  const { status, out } = await crpe("--help");
  assertEquals(status, 0);
  for (const { name } of COMMANDS) assertStringIncludes(out, `\n  ${name}`);
});

const ALL = COMMANDS.flatMap((command) => [
  command,
  ...(command.subcommands ?? []).map((it) => ({ ...it, name: `${command.name} ${it.name}` })),
]);

for (const { name, flags, subcommands = [] } of ALL) {
  Deno.test(`${name} --help lists its flags in lines of at most 120 columns`, async () => {
    const { status, out, err } = await crpe(...name.split(" "), "--help");
    assertEquals([status, err], [0, ""]);
    assertStringIncludes(out, `Usage: crpe ${name}`);
    assertEquals((await crpe("help", ...name.split(" "))).out, out);
    for (const subcommand of subcommands) assertStringIncludes(out, `\n  ${name} ${subcommand.name}`);
    for (const flag of flags) assertStringIncludes(out, `--${flag.name}`);
    for (const line of out.split("\n")) assert(line.length <= 120, line);
  });
}

Deno.test("ctrl-C says what stays and how to go on, in one line, in every command that is no server", () => {
  const texts = ALL.map(({ name, interrupted }) => [name, interrupted] as const);
  assertEquals(texts.filter(([, text]) => text === undefined).map(([name]) => name), ["registry", "agent"]);
  const wrong = texts.filter(([, text]) => {
    if (text === undefined || text === "nothing was changed") return false;
    return !/^[a-z][^\n.]{20,112}[^.\n]$/.test(text) || !/; (run|remove) /.test(text);
  });
  assertEquals(wrong, []);
});

for (
  const [what, args, message] of [
    ["an empty command line", [], ""],
    ["a mistyped command", ["regsitry"], 'did you mean "registry"?'],
    ["a mistyped flag alone", ["--hlep"], "Cannot use --hlep: there is no such flag; did you mean --help?"],
    ["a flag before the command", ["--json", "images"], "the command must come first"],
    ["a short name that is near none", ["completion", "tcsh"], "it must be one of bash, zsh, fish\nSee crpe"],
    [
      "a flag of other registries",
      ["registry", "--port=5000"],
      "Cannot use --port: there is no such flag; did you mean --addr?",
    ],
    [
      "a flag of other registries, of a command without it",
      ["images", "--port=1"],
      "Cannot use --port: there is no such flag",
    ],
    ["a mistyped flag", ["images", "--jsno"], "Cannot use --jsno: there is no such flag; did you mean --json?"],
    ["help of a command that does not exist", ["help", "regsitry"], 'did you mean "registry"?'],
    ["help of a subcommand that does not exist", ["help", "packages", "nope"], "no such subcommand of packages"],
    ["a size without a unit", ["registry", "--cache-max", "20"], "write 20MiB, 20GiB or 20B"],
    ["an architecture that does not exist", ["pack", "--platform", "what", "/dev/null"], 'Cannot use platform "what"'],
    ["a mistyped flag with a value", ["registry", "--upstrem=x"], "did you mean --upstream?"],
    ["an unknown short flag", ["images", "-x"], "Cannot use -x"],
    ["a flag without its value", ["images", "--data"], "Cannot use --data: it needs a value"],
    ["a flag with an empty value", ["images", "--data="], "Cannot use --data: it needs a value"],
    ["a flag twice", ["images", "--data", "a", "--data", "b"], "--data: it is given more than once"],
    ["standard input twice", ["pack", "-", "--have", "-"], "Cannot pack with - twice: standard input can be read once"],
    ["standard input twice, for an import", ["import", "-", "x", "-"], "Cannot import - twice"],
    ["standard input twice, for a load", ["load", "-", "-"], "Cannot load - twice: standard input can be read once"],
    ["a size that is too small", ["registry", "--cache-max=0", "--data=/nonexistent"], '"0": the least is 1 MiB\n'],
    ["tags of a list", ["pull", "nginx", "--tags=1*", "-f", "x"], "Cannot use --tags with --file"],
    ["tags of no repository", ["pull", "--tags=1*"], "Cannot use --tags with 0 operands: name one repository"],
    ["tags of two repositories", ["pull", "a", "b", "--tags=1*"], "Cannot use --tags with 2 operands"],
    ["tags of a tag", ["pull", "nginx:1", "--tags=1*"], 'Cannot use "nginx:1": name a repository'],
    ["a bad pattern of tags", ["pull", "nginx", "--tags=[1]"], 'Cannot use --tags "[1]"'],
    ["the tags of a tag", ["tags", "nginx:1"], 'Cannot use "nginx:1": name a repository, without a tag or a digest'],
    ["the tags of two repositories", ["tags", "a", "b"], 'unexpected operand "b"'],
    ["the tags of no repository", ["tags", "A"], "Cannot use repository name"],
    ["nothing to pull", ["pull"], "Cannot pull nothing"],
    ["standard input for two flags", ["pack", "x", "--have=-", "--since", "-"], "Cannot pack with - twice"],
    ["a bundle and JSON on standard output", ["pack", "x", "--json", "--output", "-"], "Cannot use --json with -o -"],
    ["an unexpected operand", ["gc", "x"], 'unexpected operand "x"'],
    ["a missing operand", ["pack"], "KUBEPKG is missing"],
    ["a mistyped subcommand", ["packages", "histroy"], 'did you mean "history"?'],
    ["a subcommand without its operand", ["packages", "remove"], "Cannot run packages remove: NAME is missing"],
    ["a mistyped flag of a subcommand", ["packages", "remove", "x", "--wiat=1s"], "did you mean --wait?"],
    ["a flag of another subcommand", ["packages", "history", "x", "--wait=1s"], "Cannot use --wait"],
    ["a token without an agent", ["packages", "--token-file=x"], "Cannot use --token-file without --to URL"],
    ["a fingerprint without an agent", ["packages", "--fingerprint=x"], "Cannot use --fingerprint without --to URL"],
    ["an inventory with a fingerprint", ["inventory", "--fingerprint=x"], "Cannot use --fingerprint without --to"],
    ["an inventory with an authority", ["inventory", "--ca-file=x"], "Cannot use --ca-file without --to"],
    ["a version and a token", ["packages", "rollback", "x", "--to=1.0.0", "--insecure-http"], "without --to URL"],
    ["a version for an agent", ["packages", "history", "x", "--to=1.0.0"], 'Cannot use --to "1.0.0": write https://'],
    ["two kinds of hand-over", ["import", "x", "--kubectl", "--manifests-dir=x"], "the objects would have two owners"],
    ["a bad subnet", ["nodes", "--subnet", "10.0.0.0/8"], 'Cannot use --subnet "10.0.0.0/8"'],
    ["a subnet and hosts", ["nodes", "a", "--subnet", "127.0.0.0/24"], "Cannot use --subnet with hosts"],
    ["a URL as host", ["nodes", "http://a"], 'the host "http://a'],
    ["a bad port of nodes", ["nodes", "--port", "x"], "Cannot use --port"],
    ["a bad address", ["registry", "--addr", "nowhere"], 'Cannot use --addr "nowhere"'],
    ["a bad port", ["registry", "--addr", ":70000"], 'Cannot use --addr ":70000"'],
    ["a bad duration", ["registry", "--tag-ttl", "soon"], 'Cannot use --tag-ttl "soon"'],
    ["a value on a switch", ["images", "--json=no"], "Cannot use --json with a value: it is a switch"],
    ["an empty list of platforms", ["pull", "x", "--platform", ","], 'Cannot use --platform ",": it names no platform'],
    ["an operating system without architecture", ["pull", "x", "--platform", "linux"], 'Cannot use platform "linux"'],
    ["an unknown log format", ["registry", "--log-format", "xml", "--data", "/nonexistent"], "--log-format"],
    ["a URL as output", ["pack", "x", "-o", "http://a.test/b.tgz"], 'Cannot use -o "http://a.test/b.tgz": it is a URL'],
    ["a URL as a new output", ["save", "x", "--output=oci://a/b"], 'Cannot use --output "oci://a/b": it is a URL'],
    ["a URL as a signed file", ["sign", "x", "--key=k", "-oS3://a/b"], 'Cannot use -o "S3://a/b": it is a URL'],
    ["a URL as manifests", ["copy", "x", "--to=a.test", "--manifests=https://a/b"], 'use --manifests "https://a/b"'],
    ["a URL as key", ["keygen", "https://a.test/b"], 'Cannot use "https://a.test/b": it is a URL'],
    ["a URL as bundle", ["import", "a.tgz", "http://a.test/b.tgz"], 'Cannot use "http://a.test/b.tgz": it is a URL'],
    ["a URL as data folder", ["images", "--data=s3://a/b"], 'Cannot use --data "s3://a/b": it is a URL'],
    ["a URL with a login as output", ["save", "x", "-o=http://u:p@a.test/b"], '"http://…@a.test/b": it is a URL'],
    ["a URL as file of a host", ["pull", "x", "--ca-file=a.test=http://b"], 'use --ca-file "http://b": it is a URL'],
    ["a login in a URL", ["status", "http://u:p@a.test"], 'ask "http://…@a.test": a password in a command line is vis'],
    ["a login without a scheme", ["status", "u:p@a.test"], 'Cannot ask "…@a.test": a password in a command line is vi'],
    ["a user in a URL", ["status", "https://u@a.test"], 'ask "https://…@a.test": a password in a command line is visi'],
    [
      "a login of no server",
      ["status", "ftp://u:p@a.test"],
      'Cannot ask "ftp://…@a.test": write a URL, such as http:/',
    ],
    ["a bad platform", ["pull", "x", "--platform", "linux/amd 64"], 'Cannot use platform "linux/amd 64"'],
  ] as const
) {
  Deno.test(`crpe exits with status 2 and one line for ${what}`, async () => {
    const { status, err, out } = await crpe(...args);
    assertEquals(status, 2);
    assertStringIncludes(err + out, message);
    assert(args.length === 0 || err.startsWith("crpe: Cannot "), err);
  });
}

Deno.test("a short flag accepts its value without a space", async () => {
  const { status, err } = await crpe("pack", "-oout.tgz", "/nonexistent/x.json");
  assertEquals(status, 1);
  assertStringIncludes(err, "/nonexistent/x.json");
});

const NOT_BEGUN: readonly (readonly [args: readonly string[], reason: string])[] = [
  [["load"], "Cannot load nothing: name an archive, or pipe one into standard input"],
  [
    ["pull", "docker://nginx:1.27", "--data=none"],
    'Cannot use the image "docker://nginx:1.27": write it without docker://',
  ],
  [["tags", "https://a.test/b", "--data=none"], 'Cannot use the image "https://a.test/b": write it without https://'],
  [["status", "ftp://127.0.0.1"], 'Cannot ask "ftp://127.0.0.1": write a URL, such as http://127.0.0.1:6060'],
  [["save", "nginx:1.27"], "Cannot save to a terminal: name the archive with -o FILE"],
  [["save", "nginx:1.27", "-o", "-"], "Cannot save to a terminal"],
  [["pack", "nowhere.json", "--data=none", "-o", "-"], "Cannot pack to a terminal: name the bundle with -o FILE"],
  [["pack", "nowhere.json", "--data=none", "--split", "0"], 'Cannot use --split "0": the least is 1 B'],
  [["pack", "nowhere.json", "--data=none", "--split", "-5"], 'Cannot use --split "-5": write a size'],
  [["registry", "--data=none", "--cache-max", "-1GiB"], 'Cannot use --cache-max "-1GiB": write a size'],
];
for (const [args, reason] of NOT_BEGUN) {
  Deno.test(`crpe ${args.join(" ")} on a terminal is refused before any input is read`, async () => {
    const io = createTestIo({ env: { HOME: "/nonexistent" }, isTerminal: true });
    assertEquals([await run(args, io), io.errText.slice(0, `crpe: ${reason}`.length)], [2, `crpe: ${reason}`]);
  });
}
