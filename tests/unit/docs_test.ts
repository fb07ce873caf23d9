import { OLDEST_DENO } from "../../lib/cli/console/version.ts";
import { type AgentRoute, matchAgentRoute } from "../../lib/agent/route.ts";
import { COMMON_FLAGS } from "../../lib/cli/command_line/command.ts";
import { parseConfigFile } from "../../lib/cli/command_line/config_file.ts";
import { loadCommands } from "../../lib/cli/commands.ts";
import { listCommands } from "../../lib/cli/manual/list_commands.ts";
import { formatReferencePage } from "../../lib/cli/manual/reference_page.ts";
import { Metrics } from "../../lib/cli/serving/metrics.ts";
import { readKubePkg } from "../support/read_kubepkg.ts";
import { type ApiRoute, matchApiRoute } from "../../lib/page/page_route.ts";
import { matchRoute, type Route } from "../../lib/registry/route.ts";
import project from "../../deno.json" with { type: "json" };
import { SCALE_OPTIONS } from "../../scripts/scale/options.ts";
import { assert, assertEquals } from "../support/assert.ts";

const COMMANDS = await loadCommands();

const ROOT = new URL("../../", import.meta.url);
const read = (path: string) => Deno.readTextFileSync(new URL(path, ROOT));

const DOCS = [...Deno.readDirSync(new URL("docs/", ROOT))].map(({ name }) => `docs/${name}`)
  .filter((path) => path.endsWith(".md")).sort();
const PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", ...DOCS];
const LINKING = [...PAGES, "lib/ARCHITECTURE.md", "scripts/README.md"];

const README = read("README.md");
const API = read("docs/api.md");
const CONFIGURATION = read("docs/configuration.md");
const REFERENCE = [README, ...DOCS.filter((path) => path !== "docs/cli.md").map(read)].join("\n");

// Flags in the documents that belong to other programs: Deno, curl, skopeo, podman, kubectl, cosign, and the scripts.
const FOREIGN_FLAGS = [
  // deno compile
  "no-code-cache",
  "all",
  "all-platforms",
  "cascade",
  "check",
  "data-binary",
  "dir",
  "disable",
  "filter",
  "from-env-file",
  "ignore-missing",
  "import-map",
  "new-bundle-format",
  "output-signature",
  "private-infrastructure",
  "tlog-upload",
  "use-signing-config",
  "insecure-ignore-tlog",
  "insecure-registry",
  "no-lock",
  "now",
  "registry-mirror",
  "serve",
  "server-side",
  "src-tls-verify",
  "tls-verify",
];

const FLAGS = [
  ...COMMON_FLAGS.map((flag) => ({ name: "every command", flag })),
  ...listCommands(COMMANDS).flatMap(({ name, command }) => command.flags.map((flag) => ({ name, flag }))),
];

/** The fenced blocks of a language. */
function blocksOf(text: string, language: string): string[] {
  return [...text.matchAll(/^```(\w+)\n([^]*?)^```$/gm)].filter(([, fence]) => fence === language)
    .map(([, , block]) => block!);
}

/** Text without fenced blocks and code spans, where brackets are links. */
function proseOf(text: string): string {
  return text.replace(/^```[^]*?^```$/gm, "").replace(/`[^`\n]*`/g, "");
}

Deno.test("every flag of every command is documented", () => {
  const missing = FLAGS.filter(({ flag }) => !new RegExp(`--${flag.name}(?![\\w-])`).test(REFERENCE));
  assertEquals(missing.map(({ name, flag }) => `--${flag.name} of ${name}`), []);
  const short = FLAGS.filter(({ flag }) => flag.short !== undefined && !REFERENCE.includes(`\`-${flag.short}`));
  assertEquals(short.map(({ name, flag }) => `-${flag.short} of ${name}`), []);
});

Deno.test("docs/cli.md is what `deno task manual` writes", () => {
  assertEquals(read("docs/cli.md"), formatReferencePage(COMMANDS));
});

Deno.test("every row of a table in a document has as many cells as the row before it", () => {
  const wrong = PAGES.flatMap((path) => {
    const counts = read(path).split("\n").map((line) => line.startsWith("|") ? line.match(/(?<!\\)\|/g)!.length : 0);
    return counts.flatMap((count, i) =>
      i === 0 || count * counts[i - 1]! === 0 || count === counts[i - 1] ? [] : [`${path}:${i + 1}`]
    );
  });
  assertEquals(wrong, []);
});

Deno.test("every flag that a document mentions exists", () => {
  const scripts = Object.keys(SCALE_OPTIONS);
  const known = new Set([...FLAGS.map(({ flag }) => flag.name), "version", ...FOREIGN_FLAGS, ...scripts]);
  const unknown = PAGES.flatMap((path) =>
    [...read(path).matchAll(/(?<![\w-])--([a-z][a-z0-9-]*)/g)].filter(([, flag]) => !known.has(flag!))
      .map(([flag]) => `${path}: ${flag}`)
  );
  assertEquals(unknown, []);
  const text = PAGES.map(read).join("\n");
  assertEquals(FOREIGN_FLAGS.filter((flag) => !text.includes(`--${flag}`)), []);
});

Deno.test("every flag in a command line of a document belongs to its command", () => {
  let checked = 0;
  const wrong = PAGES.flatMap((path) =>
    [...read(path).matchAll(/(?:\.\/|`|task )crpe ([^`\n#|]+)/g)].flatMap(([line, words = ""]) => {
      const found = listCommands(COMMANDS).filter(({ name }) => `${words} `.startsWith(`${name} `)).at(-1);
      if (found === undefined) return [];
      checked++;
      const own = [...found.command.flags, ...COMMON_FLAGS].map(({ name }) => name);
      return [...words.matchAll(/(?<![\w-])--([a-z][a-z0-9-]*)/g)].filter(([, flag]) => !own.includes(flag!))
        .map(([flag]) => `${path}: ${flag} in ${line}`);
    })
  );
  assertEquals(wrong, []);
  assert(checked > 20, "command lines were found");
});

Deno.test("every command is in the README's table, and every command of the table exists", () => {
  const table = README.split("\n").filter((line) => line.startsWith("| `crpe "));
  const named = new Set(
    table.flatMap((line) => [...line.split("|")[1]!.matchAll(/`crpe ([a-z-]+)/g)].map(([, name]) => name!)),
  );
  assertEquals([...named].sort(), COMMANDS.map(({ name }) => name).sort());
  const subcommands = listCommands(COMMANDS).filter(({ name }) => name.includes(" "));
  const undocumented = subcommands.filter(({ name, command }) => {
    const row = table.find((line) => line.includes(`\`crpe ${name.split(" ", 1)[0]}\``));
    return row === undefined || !row.includes(`\`${command.name}\``);
  });
  assertEquals(undocumented.map(({ name }) => name), []);
});

// The schema is not exported, but its error for an unknown field names the nearest one that exists.
function nearestField(prefix: string, field: string): string | undefined {
  const document = prefix === "" ? `${field}x: 1` : `${prefix}:\n  "h":\n    ${field}x: 1`;
  try {
    parseConfigFile(document, "crpe.yaml");
  } catch (error) {
    return /did you mean "([^"]+)"/.exec((error as Error).message)?.[1];
  }
  return undefined;
}

Deno.test("the documented configuration fields are those of the schema", () => {
  const source = read("lib/cli/command_line/config_file.ts");
  const fieldsOf = (schema: string) => {
    const body = new RegExp(`const ${schema} = v\\.strictObject\\(\\{([^]*?)^\\}\\);`, "m").exec(source)?.[1] ?? "";
    return [...body.matchAll(/^ {2}"?([a-z-]+)"?:/gm)].map(([, field]) => field!);
  };
  const rows = CONFIGURATION.slice(
    CONFIGURATION.indexOf("## Configuration file"),
    CONFIGURATION.indexOf("## Upstreams"),
  )
    .split("\n").flatMap((line) => /^\| `([a-z-]+)` \|/.exec(line)?.[1] ?? []);
  const hosts = fieldsOf("Host");
  assert(hosts.length > 0, "the schema was found");
  assertEquals(rows, [...fieldsOf("Config"), ...hosts]);
  for (const field of rows) {
    assertEquals(nearestField(hosts.includes(field) ? "hosts" : "", field), field);
  }
});

Deno.test("the complete example of the configuration parses and has every field", () => {
  const [example] = blocksOf(CONFIGURATION, "yaml");
  const config = parseConfigFile(example!, "/etc/crpe/crpe.yaml");
  const rows = [...CONFIGURATION.matchAll(/^\| `([a-z-]+)` \| (?:text|boolean|object)/gm)].map(([, field]) => field!);
  const used = new Set([...Object.keys(config), ...Object.values(config.hosts).flatMap(Object.keys)]);
  assertEquals(rows.filter((field) => !used.has(field)), []);
  assertEquals(config["tls-cert"], "/etc/crpe/tls/server.pem");
  const [readme] = blocksOf(README, "yaml");
  assertEquals(Object.keys(parseConfigFile(readme!, "crpe.yaml").hosts), ["registry.lan"]);
});

Deno.test("the README names the oldest Deno that CI checks", () => {
  assert(README.includes(`${OLDEST_DENO} is the oldest`));
});

Deno.test("every environment variable that crpe may read is documented", () => {
  const names: string[] = project.permissions.default.env;
  assert(names.length > 1);
  assertEquals(names.filter((name) => !CONFIGURATION.includes(`\`${name}\``)), []);
});

// A request for each route; a kind that is missing here is an error of the type checker.
const REGISTRY_ROUTES: Readonly<Record<Route["kind"], { request: string; heading: string }>> = {
  ping: { request: "/v2/", heading: "GET /v2/" },
  manifest: { request: "/v2/a/manifests/1", heading: "GET /v2/NAME/manifests/REFERENCE" },
  blob: { request: `/v2/a/blobs/sha256:${"0".repeat(64)}`, heading: "GET /v2/NAME/blobs/DIGEST" },
  tags: { request: "/v2/a/tags/list", heading: "GET /v2/NAME/tags/list" },
  catalog: { request: "/v2/_catalog", heading: "GET /v2/_catalog" },
  referrers: { request: `/v2/a/referrers/sha256:${"0".repeat(64)}`, heading: "GET /v2/NAME/referrers/DIGEST" },
  health: { request: "/healthz", heading: "GET /healthz" },
  root: { request: "/", heading: "GET /" },
};
const AGENT_ROUTES: Readonly<Record<AgentRoute["kind"], readonly { request: string; heading: string }[]>> = {
  packages: [
    { request: "HEAD /kubepkgs", heading: "HEAD /kubepkgs" },
    { request: "GET /kubepkgs", heading: "GET /kubepkgs" },
    { request: "PUT /kubepkgs", heading: "PUT /kubepkgs" },
  ],
  package: [{ request: "GET /kubepkgs/web", heading: "GET /kubepkgs/NAME" }],
  manifests: [{ request: "GET /kubepkgs/web/manifests", heading: "GET /kubepkgs/NAME/manifests" }],
  receipt: [{ request: "GET /kubepkgs/web/receipt", heading: "GET /kubepkgs/NAME/receipt" }],
  plan: [{ request: "POST /kubepkgs/plan", heading: "POST /kubepkgs/plan" }],
  blob: ["GET", "PUT"].map((method) => ({
    request: `${method} /kubepkgs/blobs/sha256:${"0".repeat(64)}`,
    heading: `${method} /kubepkgs/blobs/DIGEST`,
  })),
  inventory: [{ request: "GET /inventory", heading: "GET /inventory" }],
};

const PAGE_ROUTES: Readonly<Record<ApiRoute["kind"], string>> = {
  access: "GET /api/access",
  status: "GET /api/status",
  images: "GET /api/images",
  "image-pull": "POST /api/images",
  "image-removal": "DELETE /api/images",
  inventory: "GET /api/inventory",
  inventories: "GET /api/inventories",
  "site-save": "PUT /api/inventories/NAME",
  "site-removal": "DELETE /api/inventories/NAME",
  registries: "GET /api/registries",
  "registry-save": "PUT /api/registries/HOST",
  "registry-removal": "DELETE /api/registries/HOST",
  "registry-test": "POST /api/registries/HOST/test",
  packages: "GET /api/packages",
  doctor: "GET /api/doctor",
  session: "POST /api/session",
  codes: "POST /api/codes",
  outbox: "GET /api/outbox",
  bundle: "GET /api/outbox/DIGEST",
  "bundle-link": "POST /api/outbox/DIGEST/link",
  "bundle-removal": "DELETE /api/outbox/DIGEST",
  "partials-removal": "DELETE /api/outbox/partials",
  "release-check": "POST /api/releases/check",
  packs: "POST /api/packs",
  jobs: "GET /api/jobs",
  "job-end": "DELETE /api/jobs/ID",
  nodes: "GET /api/nodes",
  "node-addition": "POST /api/nodes",
  "node-search": "POST /api/nodes/search",
  "node-removal": "DELETE /api/nodes/NODE",
  "node-plan": "POST /api/nodes/NODE/plan",
  "node-send": "POST /api/nodes/NODE/send",
  "node-rollback": "POST /api/nodes/NODE/packages/NAME/rollback",
  "node-package-removal": "DELETE /api/nodes/NODE/packages/NAME",
  "package-status": "GET /api/packages/NAME/status",
  rollback: "POST /api/packages/NAME/rollback",
  remove: "DELETE /api/packages/NAME",
};

/** The requests that docs/api.md has a section for: a heading may have two, joined by "and". */
const SECTIONS = [...API.matchAll(/^### (.+)$/gm)].flatMap(([, heading]) => heading!.split(" and "));

Deno.test("every route of the registry, the agent and the page has a section in docs/api.md, and no section is without a route", () => {
  const expected = ["GET /metrics"];
  for (const [kind, { request, heading }] of Object.entries(REGISTRY_ROUTES)) {
    assertEquals(matchRoute(request)?.kind, kind);
    expected.push(heading);
  }
  for (const [kind, requests] of Object.entries(AGENT_ROUTES)) {
    for (const { request, heading } of requests) {
      const [method = "", path = ""] = request.split(" ");
      assertEquals(matchAgentRoute(method, new URL(path, "http://agent")).kind, kind);
      expected.push(heading);
    }
  }
  for (const [kind, request] of Object.entries(PAGE_ROUTES)) {
    const [method = "", path = ""] = request.split(" ");
    const url = new URL(path.replace("DIGEST", `sha256:${"0".repeat(64)}`), "http://agent");
    assertEquals(matchApiRoute(method, url).kind, kind);
    expected.push(request);
  }
  const sections = SECTIONS.filter((section) => /^[A-Z]+ \//.test(section));
  assertEquals(sections.sort(), expected.sort());
});

Deno.test("every section of docs/api.md has a curl line", () => {
  const sections = API.split(/^#{2,3} /m).filter((section) => /^[A-Z]+ \//.test(section));
  assertEquals(sections.filter((section) => !/^ *curl |\| *\n *curl /m.test(section)), []);
});

Deno.test("docs/api.md lists every metric, and none that does not exist", () => {
  const metrics = [...new Metrics().format().matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name!);
  const rows = [...API.matchAll(/^\| `(crpe_\w+)`/gm)].map(([, name]) => name!);
  assertEquals(rows, metrics);
});

Deno.test("the JSON blocks of the documents are JSON, and the KubePkg examples are KubePkgs", () => {
  const encoder = new TextEncoder();
  const kubepkgs: string[] = [];
  for (const path of PAGES) {
    for (const block of blocksOf(read(path), "json")) {
      // Several documents may stand below each other, each beginning on a line of its own.
      for (const text of block.split(/^(?=\{)/m)) {
        const { kind } = JSON.parse(text);
        if (kind !== "KubePkg") continue;
        kubepkgs.push(`${path}: ${readKubePkg(encoder.encode(text), path).metadata.name}`);
      }
    }
  }
  assertEquals(kubepkgs, ["README.md: line4", "docs/kubepkg.md: line4"]);
});

Deno.test("every relative link of the documents resolves", () => {
  const broken = LINKING.flatMap((path) => {
    const links = [...proseOf(read(path)).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map(([, target]) => target!);
    return links.filter((target) => !/^[a-z]+:/.test(target) && !exists(new URL(target, new URL(path, ROOT))))
      .map((target) => `${path}: ${target}`);
  });
  assertEquals(broken, []);
});

Deno.test("the README links every document", () => {
  assertEquals(DOCS.filter((path) => !README.includes(`](${path})`)), []);
});

function exists(url: URL): boolean {
  try {
    Deno.statSync(url);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
