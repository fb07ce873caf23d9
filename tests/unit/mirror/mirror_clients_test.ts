import { CONTAINERD } from "../../../lib/mirror/containerd.ts";
import { CRIO, listRegistries, PODMAN } from "../../../lib/mirror/containers_conf.ts";
import { DOCKER } from "../../../lib/mirror/docker_daemon.ts";
import { K3S } from "../../../lib/mirror/k3s.ts";
import {
  type Mirror,
  type MirrorClient,
  parseMirroredHost,
  parseMirrorUrl,
  type PlanOptions,
} from "../../../lib/mirror/mirror.ts";
import { MIRROR_CLIENTS } from "../../../lib/mirror/mirror_clients.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";
import { UsageError } from "../../../lib/oci/error.ts";

const URL = "http://192.168.1.20:6060";
const ALL: Mirror = { url: URL, hosts: undefined };
const QUAY: Mirror = { url: URL, hosts: ["quay.io"] };

const options = ({ path }: MirrorClient): PlanOptions => ({ place: path, wellKnown: ["docker.io", "quay.io"] });

/** Merges the mirror into the client's main file. */
function merge(client: MirrorClient, mirror: Mirror, current?: string): { text: string; notes: readonly string[] } {
  return client.plan(mirror, options(client)).at(-1)!.merge(current);
}

interface MergeCase {
  readonly what: string;
  readonly client: MirrorClient;
  readonly mirror: Mirror;
  readonly current?: string;
  readonly text: string;
  /** A part of one note; absent when the notes are not checked. */
  readonly note?: string;
}

const cases: readonly MergeCase[] = [
  {
    what: "k3s: a new file for all registries",
    client: K3S,
    mirror: ALL,
    text: `# Images are pulled from crpe, and from the registry itself if that fails.
mirrors:
  "*":
    endpoint:
      - "${URL}"
`,
    note: "v1.26.13",
  },
  {
    what: "k3s: a file, preserving its comments, logins and other mirrors",
    client: K3S,
    mirror: ALL,
    current: `# of the factory
mirrors:
    registry.lan:5000: # here
        endpoint: [ "http://10.0.0.2:5000" ]
        rewrite: {"^(.*)$": "x/$1"}
configs:
    registry.lan:5000:
        auth: {username: robot, password: 0123} # not a number
`,
    text: `# of the factory
mirrors:
    "*":
      endpoint:
        - "${URL}"
    registry.lan:5000: # here
        endpoint: [ "http://10.0.0.2:5000" ]
        rewrite: {"^(.*)$": "x/$1"}
configs:
    registry.lan:5000:
        auth: {username: robot, password: 0123} # not a number
`,
    note: "registry.lan:5000 has an entry of its own",
  },
  {
    what: "k3s: a host with endpoints in flow style",
    client: K3S,
    mirror: { url: URL, hosts: ["registry.lan:5000"] },
    current: `mirrors:\n  "registry.lan:5000":\n    endpoint: ["http://10.0.0.2:5000"] # old\n`,
    text: `mirrors:\n  "registry.lan:5000":\n    endpoint: ["${URL}", "http://10.0.0.2:5000"] # old\n`,
    note: "http://10.0.0.2:5000 of registry.lan:5000 is kept",
  },
  {
    what: "k3s: a host whose list has the indentation of its key",
    client: K3S,
    mirror: QUAY,
    current: `mirrors:\n  quay.io:\n    endpoint:\n    - https://a.example\n    # second\n    - https://b.example`,
    text:
      `mirrors:\n  quay.io:\n    endpoint:\n    - "${URL}"\n    - https://a.example\n    # second\n    - https://b.example\n`,
  },
  {
    what: "k3s: a host without endpoints",
    client: K3S,
    mirror: QUAY,
    current: "mirrors:\n  quay.io:\n    rewrite: {}\n",
    text: `mirrors:\n  quay.io:\n    endpoint:\n      - "${URL}"\n    rewrite: {}\n`,
  },
  {
    what: "k3s: an empty entry",
    client: K3S,
    mirror: QUAY,
    current: "mirrors:\n  quay.io:\nconfigs: {}\n",
    text: `mirrors:\n  quay.io:\n    endpoint:\n      - "${URL}"\nconfigs: {}\n`,
  },
  {
    what: "k3s: a file without mirrors",
    client: K3S,
    mirror: QUAY,
    current: 'configs:\n  "quay.io":\n    tls:\n      insecure_skip_verify: true\n',
    text:
      `configs:\n  "quay.io":\n    tls:\n      insecure_skip_verify: true\nmirrors:\n  quay.io:\n    endpoint:\n      - "${URL}"\n`,
  },
  {
    what: "k3s: empty mirrors",
    client: K3S,
    mirror: QUAY,
    current: "mirrors: {}\n",
    text: `mirrors:\n  quay.io:\n    endpoint:\n      - "${URL}"\n`,
  },
  {
    what: "k3s: an unchanged file that has the mirror already",
    client: K3S,
    mirror: QUAY,
    current: `mirrors: {quay.io: {endpoint: ["${URL}/"]}}\n`,
    text: `mirrors: {quay.io: {endpoint: ["${URL}/"]}}\n`,
  },
  {
    what: "containerd: a new file for all registries",
    client: CONTAINERD,
    mirror: ALL,
    text:
      `# Images of every registry that has no folder of its own are pulled from crpe, and from the registry itself if that fails.
[host."${URL}"]
  capabilities = ["pull", "resolve"]
`,
  },
  {
    what: "containerd: a new file without the fall-back",
    client: CONTAINERD,
    mirror: { ...QUAY, isOnly: true },
    text: `# Images of quay.io are pulled from crpe, and from nowhere else.
server = "${URL}"

[host."${URL}"]
  capabilities = ["pull", "resolve"]
`,
  },
  {
    what: "containerd: a file with another host",
    client: CONTAINERD,
    mirror: QUAY,
    current:
      `server = "https://quay.io" # itself\nclient = [\n  ["/a.cert", "/a.key"],\n]\n\n[host."https://other.example"] # slow\n  skip_verify = true\n`,
    text:
      `server = "https://quay.io" # itself\nclient = [\n  ["/a.cert", "/a.key"],\n]\n\n[host."${URL}"]\n  capabilities = ["pull", "resolve"]\n\n[host."https://other.example"] # slow\n  skip_verify = true\n`,
    note: "https://other.example of quay.io is kept",
  },
  {
    what: "containerd: a file without hosts",
    client: CONTAINERD,
    mirror: QUAY,
    current: `server = "https://quay.io"`,
    text: `server = "https://quay.io"\n\n[host."${URL}"]\n  capabilities = ["pull", "resolve"]\n`,
  },
  {
    what: "containerd: a file that has the mirror already, without the fall-back",
    client: CONTAINERD,
    mirror: { ...QUAY, isOnly: true },
    current: `server = "https://quay.io"\n[host."${URL}"]\n`,
    text: `server = "${URL}"\n[host."${URL}"]\n`,
  },
  {
    what: "crio: a mirror for each well-known registry",
    client: CRIO,
    mirror: ALL,
    text: `# Images are pulled from crpe, and from the registry itself if that fails.

[[registry]]
prefix = "docker.io"
location = "docker.io"

[[registry.mirror]]
location = "192.168.1.20:6060/docker.io"
insecure = true

[[registry]]
prefix = "quay.io"
location = "quay.io"

[[registry.mirror]]
location = "192.168.1.20:6060/quay.io"
insecure = true
`,
  },
  {
    what: "podman: an https mirror without the fall-back",
    client: PODMAN,
    mirror: { url: "https://crpe.lan", hosts: ["registry.lan:5000"], isOnly: true },
    text: `# Images are pulled from crpe, and from nowhere else.

[[registry]]
prefix = "registry.lan:5000"
location = "crpe.lan/registry.lan__5000"
`,
  },
  {
    what: "docker: a new file",
    client: DOCKER,
    mirror: ALL,
    text:
      `{\n  "registry-mirrors": [\n    "${URL}"\n  ],\n  "insecure-registries": [\n    "192.168.1.20:6060"\n  ]\n}\n`,
    note: "docker pulls 192.168.1.20:6060/quay.io/… by plain HTTP",
  },
  {
    what: "docker: a file with other settings",
    client: DOCKER,
    mirror: { url: URL, hosts: ["docker.io"] },
    current:
      `{\n    "insecure-registries": ["r.lan:5000"],\n    "registry-mirrors": ["https://m.example", "${URL}/"],\n    "debug": true\n}`,
    text:
      `{\n    "insecure-registries": [\n        "r.lan:5000",\n        "192.168.1.20:6060"\n    ],\n    "registry-mirrors": [\n        "${URL}",\n        "https://m.example"\n    ],\n    "debug": true\n}`,
    note: "https://m.example is kept",
  },
  {
    what: "docker: an unchanged file that has the mirror already",
    client: DOCKER,
    mirror: ALL,
    current: `{"registry-mirrors":["${URL}/"],"insecure-registries":["192.168.1.20:6060"]}`,
    text: `{"registry-mirrors":["${URL}/"],"insecure-registries":["192.168.1.20:6060"]}`,
  },
  ...["http://127.8.0.1:6060", "http://localhost:6060", "https://crpe.lan"].map((url): MergeCase => ({
    what: `docker: no insecure registry for ${url}`,
    client: DOCKER,
    mirror: { url, hosts: undefined },
    text: `{\n  "registry-mirrors": [\n    "${url}"\n  ]\n}\n`,
  })),
  { what: "docker: an empty file", client: DOCKER, mirror: ALL, current: "", text: merge(DOCKER, ALL).text },
];

for (const { what, client, mirror, current, text, note } of cases) {
  Deno.test(`merge() returns ${what}`, () => {
    const merged = merge(client, mirror, current);
    assertEquals(merged.text, text);
    if (note !== undefined) assertStringIncludes(merged.notes.join("\n"), note);
    // Merging again changes nothing.
    assertEquals(merge(client, mirror, merged.text).text, text);
    assertEquals(client.listMirrors(merged.text)[0]?.url, mirror.url);
  });
}

const refused: readonly (readonly [what: string, client: MirrorClient, current: string, message: string])[] = [
  ["k3s: text that is not YAML", K3S, "mirrors: [", "it is not YAML"],
  ["k3s: a list", K3S, "- a\n", "it is not a YAML mapping"],
  ["k3s: mirrors of the wrong type", K3S, "mirrors: x\n", "its mirrors are not a mapping"],
  ["k3s: an unsupported layout", K3S, "{mirrors: {a.io: {}}, configs: {}}\n", "cannot change safely"],
  ["k3s: mirrors given by an alias", K3S, "x: &m\n  a.io:\n    endpoint: []\nmirrors: *m\n", "cannot change safely"],
  ["k3s: a text that looks like the key", K3S, "x: |\n  mirrors:\n\n'mirrors': {a.io: {}}\n", "cannot change safely"],
  ["k3s: two documents", K3S, "a: b\n---\nc: d\n", "it is not YAML"],
  // What k3s' parser (go-yaml v2) refuses.
  ["k3s: tabs", K3S, "mirrors:\n\tdocker.io:\n\t\tendpoint:\n\t\t- https://m\n", "it is not YAML"],
  ["k3s: a tab after spaces", K3S, "mirrors:\n  a.io:\n\t  endpoint: []\n", "it is not YAML"],
  [
    "k3s: a tab after a dash",
    K3S,
    "mirrors:\n  a.io:\n    endpoint:\n    -\thttps://m\n",
    "line 4 is indented with a tab",
  ],
  ["k3s: a tab on an empty line", K3S, "mirrors:\n  a.io: {}\n\t\n", "line 3 is indented with a tab"],
  ["k3s: a tab before a comment", K3S, "\t# c\nmirrors: {}\n", "line 1 is indented with a tab"],
  ["k3s: an empty item", K3S, "mirrors:\n  a.io:\n    endpoint: [https://m,,https://n]\n", "it is not YAML"],
  ["k3s: YAML 1.2", K3S, "%YAML 1.2\n---\nmirrors:\n", "it is not YAML"],
  ["k3s: another directive", K3S, "%FOO x\n---\nmirrors:\n", "it is not YAML"],
  ["k3s: an escaped slash", K3S, 'configs:\n  a.io:\n    auth:\n      password: "a\\/b"\n', "it is not YAML"],
  ["k3s: a key within a value", K3S, "mirrors: ? a.io\n", "it is not YAML"],
  ["k3s: a line end of YAML 1.1", K3S, "mirrors:\n  a.io: \u0085\n", "it is not YAML"],
  ["k3s: a mapping as a key", K3S, "{a.io: 1}: b\n", "it is not a YAML mapping"],
  ["k3s: a key twice", K3S, "mirrors:\n  a.io:\n  a.io:\n", "it is not YAML"],
  ["k3s: a text alone", K3S, "''\n", "it is not a YAML mapping"],
  ["docker: text that is not JSON", DOCKER, "{,}", "it is not JSON"],
  ["docker: mirrors twice", DOCKER, '{"registry-mirrors":["https://a"],"registry-mirrors":[]}', "cannot change safely"],
  ["docker: a list", DOCKER, "[]", "it is not a JSON object"],
  ["docker: insecure registries of the wrong type", DOCKER, '{"insecure-registries": 1}', "insecure-registries is not"],
  ["docker: mirrors of the wrong type", DOCKER, '{"registry-mirrors": "x"}', "registry-mirrors is not a list"],
];
// What k3s' parser reads, although it looks like the ones above.
for (
  const kept of [
    "%YAML 1.1\n---\nconfigs:\n  a.io:\n    auth:\t{password: 'a\\/b'} # \t c\n",
    'configs:\n  "a.io":\n    auth:\n      password: "a\\\\/b"\n',
    "# only a comment\n",
  ]
) {
  Deno.test(`[111] merge() keeps ${JSON.stringify(kept)} for k3s`, () => {
    const added = `mirrors:\n  "*":\n    endpoint:\n      - "${URL}"\n`;
    assertEquals(merge(K3S, ALL, kept).text, kept + added);
  });
}

// What is not the mirrors stays byte for byte, and dockerd reads it as before.
const LISTS = `"registry-mirrors": ["${URL}"], "insecure-registries": ["192.168.1.20:6060"]`;
const BROKEN_LISTS = LISTS.replaceAll("[", "[\n    ").replaceAll("]", "\n  ]").replace("], ", "],\n  ");
for (
  const [what, current, text] of [
    ["a number of 64 bits", '{"a":{"Hard":9223372036854775807}}', `{"a":{"Hard":9223372036854775807}, ${LISTS}}`],
    ["numbers as they are spelled", '{ "a": 1e400, "b": 1.0 }\n', `{ "a": 1e400, "b": 1.0, ${LISTS} }\n`],
    ["keys that are given twice", '{\n  "a": 1,\n  "a": 2\n}', `{\n  "a": 1,\n  "a": 2,\n  ${BROKEN_LISTS}\n}`],
    [
      "escapes and structure in texts",
      '{"a":"\\u00fc\\/}]\\"","b\\"":[{}]}',
      `{"a":"\\u00fc\\/}]\\"","b\\"":[{}], ${LISTS}}`,
    ],
    ["the key __proto__", '{"__proto__":{"x":1}}', `{"__proto__":{"x":1}, ${LISTS}}`],
    [
      "line ends",
      '{\r\n\t"a": 1\r\n}\r\n',
      `{\r\n\t"a": 1,\r\n  ${BROKEN_LISTS.replaceAll("\n", "\r\n")}\r\n}\r\n`
        .replaceAll("    ", "\t\t").replaceAll("  ", "\t"),
    ],
    [
      "lists that are null",
      '{"registry-mirrors":null ,"x":0.10}',
      `{"registry-mirrors":["${URL}"] ,"x":0.10, "insecure-registries": ["192.168.1.20:6060"]}`,
    ],
    ["an object without members", "{ }\n", `{\n  ${BROKEN_LISTS}\n}\n`],
    [
      "a key that is escaped",
      '{"registry\\u002dmirrors":[],"x":-0}',
      `{"registry\\u002dmirrors":["${URL}"],"x":-0, "insecure-registries": ["192.168.1.20:6060"]}`,
    ],
  ] as const
) {
  Deno.test(`[111] merge() keeps every other byte of daemon.json: ${what}`, () => {
    assertEquals(merge(DOCKER, ALL, current).text, text);
    assertEquals(merge(DOCKER, ALL, text).text, text);
  });
}

for (const [what, client, current, message] of refused) {
  Deno.test(`[111] merge() refuses what it cannot change safely: ${what}`, () => {
    assertThrows(() => merge(client, ALL, current), Error, message);
  });
}

Deno.test("merge() refuses a containerd file that lists another host before crpe", () => {
  const current = `[host."https://other.example"]\n[host."${URL}"]\n`;
  assertThrows(() => merge(CONTAINERD, QUAY, current), Error, "it lists https://other.example before");
});

for (
  const [host, current] of [
    [
      "docker.io",
      "mirrors:\n  docker.io:\n    endpoint: [https://harbor.lan]\n    rewrite:\n      ^library/(.*): proxy/$1\n",
    ],
    [undefined, `mirrors:\n  "*":\n    endpoint: ["${URL}"]\n    rewrite: {"^(.*)$": "x/$1"}\n`],
  ] as const
) {
  Deno.test(`merge() refuses an entry of k3s with rewrite, and names the way out: ${host ?? "*"}`, () => {
    const mirror: Mirror = { url: URL, hosts: host === undefined ? undefined : [host] };
    const { message } = assertThrows(
      () => merge(K3S, mirror, current),
      Error,
      "has rewrite, which k3s applies to every",
    );
    assertStringIncludes(message, `--upstream=${host ?? "HOST"}=URL/PATH`);
    assertEquals(K3S.listMirrors(current)[0]?.problem, message);
  });
}

Deno.test("plan() returns one file per host for containerd", () => {
  const pathsOf = (mirror: Mirror) =>
    CONTAINERD.plan(mirror, { place: "/certs.d", wellKnown: [] }).map(({ path }) => path);
  assertEquals(pathsOf({ url: URL, hosts: ["docker.io", "registry.lan:5000"] }), [
    "/certs.d/docker.io/hosts.toml",
    "/certs.d/registry.lan:5000/hosts.toml",
  ]);
  assertEquals(pathsOf(ALL), ["/certs.d/_default/hosts.toml"]);
});

Deno.test("plan() refuses what a client does not support", () => {
  assertThrows(() => DOCKER.plan(QUAY, options(DOCKER)), UsageError, "it supports mirrors of docker.io only");
  assertThrows(() => DOCKER.plan({ ...ALL, isOnly: true }, options(DOCKER)), UsageError, "it always does");
  assertThrows(
    () => K3S.plan({ ...ALL, isOnly: true }, options(K3S)),
    UsageError,
    "--disable-default-registry-endpoint",
  );
});

for (const text of ["127.0.0.1:6060", "ftp://a", "http://a/b", "http://u:secret@a", "http://a?b", "http://a#b", ""]) {
  Deno.test(`parseMirrorUrl() refuses ${JSON.stringify(text)}`, () => {
    const error = assertThrows(() => parseMirrorUrl(text), UsageError);
    assertEquals(error.message.includes("secret"), false);
  });
}

Deno.test("parseMirrorUrl() and parseMirroredHost() normalize the spelling", () => {
  assertEquals(parseMirrorUrl("HTTP://Crpe.LAN:6060/"), "http://crpe.lan:6060");
  assertEquals(parseMirrorUrl("https://crpe.lan:443"), "https://crpe.lan");
  assertEquals(parseMirroredHost("Index.Docker.io"), "docker.io");
  assertThrows(() => parseMirroredHost("a/b"), UsageError, "write it as in an image's name");
});

Deno.test("listRegistries() returns the registries that have entries", () => {
  const text = `unqualified-search-registries = ["a.io"]
[[registry]]
location = "b.io"
[[registry.mirror]]
location = "c.io"
[[registry]]
location = "d.io/x"
prefix = "e.io"
# [[registry]]
`;
  assertEquals(listRegistries(text), ["b.io", "e.io"]);
});

Deno.test("MIRROR_CLIENTS lists the clients of the contract", () => {
  assertEquals(MIRROR_CLIENTS.map(({ name }) => name), ["k3s", "containerd", "crio", "podman", "docker"]);
});
