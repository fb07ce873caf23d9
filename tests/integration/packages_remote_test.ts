import { createAgentFixture } from "../support/agent_fixture.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { startCrpe } from "../support/crpe_process.ts";

Deno.test("packages --to: the packages of an agent are listed, rolled back and removed", async () => {
  await using fixture = await createAgentFixture();
  const { folder, tokenFile } = fixture;
  await Deno.mkdir(`${folder.path}/manifests`, { recursive: true });
  await using agent = await fixture.startAgent();
  const to = `--to=${agent.url}`;
  const token = `--token-file=${tokenFile}`;
  // Nothing of this machine is used: without a folder, a command that needs one would fail.
  const packages = (...args: string[]) => fixture.crpe("packages", ...args);
  assertEquals(await packages(to), { code: 0, stdout: "PACKAGE  VERSION  NAMESPACE  IMAGES\n", stderr: "" });
  for (const version of ["1.0.0", "1.1.0"]) {
    const { file } = await fixture.pack(version, 1000);
    assertEquals((await fixture.push(file, agent.url).finished).code, 0);
  }

  const listed = await packages(to);
  assertEquals(listed.stdout.split("\n")[1]?.split(/ +/), ["line4", "1.1.0", "default", "1"]);
  const documents = JSON.parse((await packages(to, "--json")).stdout);
  assertEquals([documents.length, documents[0].spec.version, documents[0].spec.manifests], [1, "1.1.0", undefined]);
  const receipt = await packages("receipt", "line4", to);
  assertEquals([JSON.parse(receipt.stdout).version, receipt.code], ["1.1.0", 0]);
  const history = await packages("history", "line4", to, token);
  assertEquals([history.stdout, history.code], ["VERSION  INSTALLED\n1.1.0    yes\n1.0.0    -\n", 0]);
  const versions = JSON.parse((await packages("history", "default/line4", to, token, "--json")).stdout);
  assertEquals(versions[1], {
    installed: false,
    kubepkg: { metadata: { name: "line4", namespace: "default" }, spec: { version: "1.0.0" } },
  });

  // No cluster confirms anything here.
  const status = await packages("status", "line4", to, token);
  assertEquals(status.code, 1, status.stderr);
  assertMatch(status.stdout, /^line4@1\.1\.0 is (?:unknown|pending): \S+\/manifests\/line4\.yaml\n/);
  const document = JSON.parse((await packages("status", "line4", to, token, "--json")).stdout);
  assertEquals([document.name, document.version, document.removing], ["line4", "1.1.0", false]);

  const back = await packages("rollback", "line4", to, token);
  assertEquals(back.code, 0, back.stderr);
  assertStringIncludes(back.stdout, `rolled line4 back from 1.1.0 to 1.0.0 at ${agent.url}\n`);
  assertStringIncludes(back.stdout, `handed over to ${await Deno.realPath(folder.path)}/manifests/line4.yaml`);
  const again = await packages("rollback", "line4@1.1.0", to, token, "--json");
  assertEquals([JSON.parse(again.stdout).to, JSON.parse(again.stdout).rolledBack], ["1.1.0", true]);
  const same = await packages("rollback", "line4@1.1.0", to, token);
  assertEquals(same.stdout, `line4@1.1.0 is installed already at ${agent.url}; nothing to do\n`);
  const unknown = await packages("rollback", "line4@0.1.0", to, token);
  assertEquals([unknown.code, unknown.stdout], [3, ""]);
  assertStringIncludes(unknown.stderr, "0.1.0");

  const dry = await packages("remove", "line4", to, token, "--dry-run");
  assertEquals([dry.code, dry.stdout.split("\n")[0]], [0, `would remove line4@1.1.0 at ${agent.url}`]);
  const removed = await packages("remove", "line4", to, token);
  assertEquals(removed.code, 0, removed.stderr);
  // Without a cluster nothing confirms that its objects are gone.
  assertStringIncludes(removed.stdout, `line4@1.1.0 is not removed yet at ${agent.url}\n`);
});

Deno.test("packages --to: what is wrong is said in one line, and no token goes where it must not", async () => {
  await using fixture = await createAgentFixture();
  const { folder, tokenFile } = fixture;
  await Deno.mkdir(`${folder.path}/manifests`, { recursive: true });
  await using agent = await fixture.startAgent("--no-page");
  const { file } = await fixture.pack("1.0.0", 1000);
  assertEquals((await fixture.push(file, agent.url).finished).code, 0);
  await using registry = await startCrpe(["registry", "--offline", "--addr=127.0.0.1:0", "--data=other"], {
    env: { HOME: folder.path },
    cwd: folder.path,
  });
  // What a client without a browser sees at the address.
  const greet = async (url: string, accept: string, method = "GET") => {
    const response = await fetch(`${url}/`, { method, headers: { accept } });
    return [response.status, response.headers.get("content-type"), await response.text()] as const;
  };
  const page = /^\/ +the web page, in a browser$/m;
  const [status, type, text] = await greet(registry.url, "*/*");
  assertEquals([status, type], [200, "text/plain; charset=utf-8"]);
  assertMatch(text, /^crpe registry [0-9.]+\n\n\/v2\/ +the registry/);
  assertMatch(text, page);
  assertEquals(await greet(registry.url, "*/*", "HEAD"), [200, type, ""]);
  assertMatch((await greet(registry.url, "text/html"))[1]!, /^text\/html/);
  // Without the page a browser gets the text too.
  const [, , alone] = await greet(agent.url, "text/html");
  assertMatch(alone, /^crpe agent [^]*^\/kubepkgs +the installed packages$/m);
  assertEquals(page.test(alone), false);

  const to = `--to=${agent.url}`;
  const token = `--token-file=${tokenFile}`;
  const rows: readonly (readonly [args: readonly string[], code: number, message: string])[] = [
    [["status", "lime4", to], 1, 'Cannot use the package "lime4": it is not installed; did you mean "line4"?'],
    [["history", "line4", to, token], 1, `Cannot ask ${agent.url}: it was started with --no-page`],
    [["rollback", "line4", to, token], 1, `Cannot ask ${agent.url}: it was started with --no-page`],
    [["remove", "line4", to, token, "--wait=5s"], 2, "Cannot use --wait with --to"],
    [["remove", "line4", to, token, "--kubectl"], 2, `Cannot use --kubectl with --to ${agent.url}`],
    [[to, "--pending"], 2, `Cannot use --pending with --to ${agent.url}`],
    [["rollback", "line4@1.0.0", "--to=1.1.0"], 2, "Cannot use --to 1.1.0 with line4@1.0.0: name the version once"],
    [["--to=ftp://127.0.0.1"], 2, 'Cannot use --to "ftp://127.0.0.1": write https://HOST:PORT'],
    [[`--to=${registry.url}`], 1, `Cannot ask ${registry.url}: it answered 404; is that the address of a crpe agent?`],
    [["--to=http://127.0.0.1:1"], 1, "Cannot ask http://127.0.0.1:1: "],
    [
      ["history", "line4", "--to=http://192.0.2.1:36060", token],
      3,
      "Cannot connect to http://192.0.2.1:36060: the token",
    ],
    [["history", "line4", to, "--token-file=none"], 1, "Cannot use none: there is no such file or folder"],
  ];
  for (const [args, code, message] of rows) {
    const result = await fixture.crpe("packages", ...args);
    assertEquals([result.code, result.stdout], [code, ""], `${args.join(" ")}: ${result.stderr}`);
    assertStringIncludes(result.stderr.split("\n")[0]!, `crpe: ${message}`);
    assertEquals(result.stderr.split("\n").length <= 3, true, result.stderr);
  }
});
