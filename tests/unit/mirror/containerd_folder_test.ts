import { parseCaCertificates, planCaFile } from "../../../lib/mirror/ca_file.ts";
import { CONTAINERD } from "../../../lib/mirror/containerd.ts";
import { type ContainerdConfig, readContainerdConfig } from "../../../lib/mirror/containerd_config.ts";
import { isCriDisabled, planConfigChange, whyFolderUnread } from "../../../lib/mirror/containerd_folder.ts";
import { setTomlValue } from "../../../lib/mirror/toml_text.ts";
import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "../../support/assert.ts";
import { UsageError } from "../../../lib/oci/error.ts";

const FOLDER = CONTAINERD.path;
const MAIN = "/etc/containerd/config.toml";

/** Reads a configuration whose files are given by path. */
function read(files: Readonly<Record<string, string>>): Promise<ContainerdConfig> {
  return readContainerdConfig({
    readText: (path) => Promise.resolve(files[path]),
    listNames: (folder) =>
      Promise.resolve(
        Object.keys(files).filter((path) => path.startsWith(`${folder}/`)).map((path) => path.slice(folder.length + 1)),
      ),
  });
}

const CRI_1 = "[plugins.cri.registry]";
const CRI_2 = '[plugins."io.containerd.grpc.v1.cri".registry]';
const IMAGES = "[plugins.'io.containerd.cri.v1.images'.registry]";
const path = (value = FOLDER) => `  config_path = '${value}'\n`;
const LIST = `${FOLDER}:/etc/docker/certs.d`;

// What containerd 1.6.20 and 2.2.9 print for the same files (`containerd config dump`) was compared with these rows.
const rows: [what: string, files: Record<string, string>, releases: "all" | "none" | "some", part?: string][] = [
  ["no file", {}, "none", `there is no ${MAIN}`],
  ["an empty file", { [MAIN]: "" }, "none", `${MAIN} does not name it`],
  ["version 1, short name", { [MAIN]: `${CRI_1}\n${path()}` }, "some", "is not read by containerd 2.0 to 2.2: "],
  [
    "version 1, name of version 2",
    { [MAIN]: `${CRI_2}\n${path()}` },
    "some",
    "is not read by containerd 1.6 and 1.7, 2.0 to 2.2: ",
  ],
  [
    "version 1, name of version 3",
    { [MAIN]: `${IMAGES}\n${path()}` },
    "some",
    "is not read by containerd 1.6 and 1.7: ",
  ],
  ["version 1, both names", { [MAIN]: `${CRI_1}\n${path()}${IMAGES}\n${path()}` }, "all"],
  ["version 2", { [MAIN]: `version = 2\n${CRI_2}\n${path()}` }, "all"],
  ["version 2, a slash at the end", { [MAIN]: `version = 2\n${CRI_2}\n${path(`${FOLDER}/`)}` }, "all"],
  ["version 2, dotted keys", {
    [MAIN]: `version = 2\nplugins."io.containerd.grpc.v1.cri".registry.config_path = "${FOLDER}"\n`,
  }, "all"],
  ["version 2, unset", { [MAIN]: `version = 2\n${CRI_2}\n${path("")}` }, "none", `${MAIN} does not name it`],
  ["version 2, in a comment", { [MAIN]: `version = 2\n${CRI_2}\n#${path()}` }, "none", "does not name it"],
  [
    "version 2, name of version 3",
    { [MAIN]: `version = 2\n${IMAGES}\n${path()}` },
    "some",
    "is not read by containerd 1.6 and 1.7: ",
  ],
  [
    "version 2, both, the older is empty",
    { [MAIN]: `version = 2\n${IMAGES}\n${path()}${CRI_2}\n` },
    "none",
    "not used in",
  ],
  ["version 2, a list", { [MAIN]: `version = 2\n${CRI_2}\n${path(LIST)}` }, "some", "take as one folder"],
  ["version 2, another folder", { [MAIN]: `version = 2\n${CRI_2}\n${path("/x")}` }, "none", "--path=/x"],
  [
    "version 2, with mirrors",
    { [MAIN]: `version = 2\n${CRI_2}\n${path()}${CRI_2.replace("]", '.mirrors."a.io"]')}\nendpoint = []\n` },
    "none",
    "registry.mirrors",
  ],
  ["version 3", { [MAIN]: `version = 3\n${IMAGES}\n${path()}` }, "all"],
  ["version 3, a list", { [MAIN]: `version = 3\n${IMAGES}\n${path(LIST)}` }, "none", "take as one folder"],
  [
    "version 3, name of version 2",
    { [MAIN]: `version = 3\n${CRI_2}\n${path()}` },
    "none",
    "is not used in version = 3",
  ],
  ["version 4", { [MAIN]: `version = 4\n${IMAGES}\n${path()}` }, "all"],
  [
    "version 3, imported",
    {
      [MAIN]: `version = 3\nimports = ["conf.d/*.toml"]\n${IMAGES}\n${path("/x")}`,
      "/etc/containerd/conf.d/a.toml": `version = 3\n${IMAGES}\n${path()}`,
      "/etc/containerd/conf.d/a.toml.bak": "no TOML",
    },
    "all",
  ],
  [
    "version 3, an import of version 2",
    {
      [MAIN]: `version = 3\nimports = ["/etc/containerd/a.toml", "/none/*.toml"]\n`,
      "/etc/containerd/a.toml": `version = 2\n${CRI_2}\n${path()}`,
    },
    "all",
  ],
  [
    "version 2, an import that replaces the plugin's table in 1.x",
    {
      [MAIN]: `version = 2\nimports = ["../containerd/a.toml"]\n${CRI_2}\n${path()}`,
      "/etc/containerd/a.toml": `version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "x"\n`,
    },
    "some",
    "is not read by containerd 1.6 and 1.7: ",
  ],
];
for (const [what, files, releases, part] of rows) {
  Deno.test(`whyFolderUnread() judges each release, and planConfigChange() what it plans: ${what}`, async () => {
    const config = await read(files);
    const unread = whyFolderUnread(config, FOLDER);
    assertEquals(unread === undefined ? "all" : unread.isNever ? "none" : "some", releases, unread?.reason);
    if (part !== undefined) assertStringIncludes(unread!.reason, part);
    const change = planConfigChange(config, FOLDER);
    // Every configuration can be changed except those that need other changes first.
    assertEquals(change !== undefined, unread?.lines !== undefined, unread?.reason);
    if (change === undefined) return;
    assertEquals(whyFolderUnread(await read({ ...files, [change.path]: change.text }), FOLDER), undefined);
  });
}

Deno.test("planConfigChange() writes a drop-in only where it replaces nothing", async () => {
  const main = (version: number, rest = "") =>
    `version = ${version}\nimports = ["/etc/containerd/conf.d/*.toml"]\n${rest}`;
  const changed = async (text: string) => planConfigChange(await read({ [MAIN]: text }), FOLDER)?.path;
  assertEquals(await changed(main(3, `${IMAGES}\n`)), "/etc/containerd/conf.d/99-crpe.toml");
  assertEquals(await changed(main(2)), "/etc/containerd/conf.d/99-crpe.toml");
  // containerd 1.x would take the drop-in for the whole table of the plugin.
  assertEquals(await changed(main(2, '[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "x"\n')), MAIN);
  assertEquals(await changed("imports = ['/etc/containerd/conf.d/*.toml']\n"), MAIN);
});

Deno.test("planConfigChange() preserves every other line, and names folders that are no longer read", async () => {
  const text =
    `version = 2 # of the site\n\n${CRI_2} # here\n    config_path = "${LIST}" # both\n    [plugins.x]\n    a = 1\n`;
  assertEquals(planConfigChange(await read({ [MAIN]: text }), FOLDER), {
    path: MAIN,
    text: text.replace(`"${LIST}" # both`, `"${FOLDER}"`),
    droppedFolders: ["/etc/docker/certs.d"],
  });
  const inline = 'version = 2\nplugins = {"io.containerd.grpc.v1.cri" = {registry = {}}}\n';
  assertEquals(planConfigChange(await read({ [MAIN]: inline }), FOLDER), undefined);
});

Deno.test("readContainerdConfig() refuses what is not TOML, and too many files, without quoting a file", async () => {
  const error = await assertRejects(() => read({ [MAIN]: "password = secret\n" }), Error, `${MAIN}: it is not TOML`);
  assertEquals((error as Error).message.includes("secret"), false);
  const many = Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`/etc/containerd/d/${i}.toml`, ""]));
  await assertRejects(() => read({ [MAIN]: 'imports = ["d/*"]', ...many }), Error, "more than 100 files");
  const loop = { [MAIN]: 'version = 3\nimports = ["config.toml", "./config.toml"]\n' };
  assertEquals((await read(loop)).files.length, 1);
});

Deno.test("isCriDisabled() reads disabled_plugins", async () => {
  for (const name of ["cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"]) {
    assertEquals(isCriDisabled(await read({ [MAIN]: `disabled_plugins = ["a", "${name}"]` })), true);
  }
  assertEquals(isCriDisabled(await read({ [MAIN]: "" })), false);
});

Deno.test("setTomlValue() returns undefined when the text would not have the expected meaning", () => {
  const setting = { table: ["a", "b c"], key: "k", value: "v" };
  assertEquals(setTomlValue("", setting), '[a."b c"]\n  k = "v"\n');
  assertEquals(setTomlValue("[ a . 'b c' ]\nk = 1", setting), "[ a . 'b c' ]\nk = \"v\"\n");
  assertEquals(setTomlValue("[a]\nx = [\n[1],\n[2]]\n", setting), '[a]\nx = [\n[1],\n[2]]\n\n[a."b c"]\n  k = "v"\n');
  for (const text of ['a = {"b c" = {}}', 'x = """\n[a."b c"]\n"""\n', "[[a]]\n", "a = 1", "a"]) {
    assertEquals(setTomlValue(text, setting), undefined, text);
  }
});

const PEM = "-----BEGIN CERTIFICATE-----\nMIIB+/=\n-----END CERTIFICATE-----\n";
Deno.test("parseCaCertificates() returns the certificates of a file, and refuses others", () => {
  assertEquals(parseCaCertificates(`subject=x\r\n${PEM.replaceAll("\n", "\r\n")}\n${PEM}`, "ca.pem"), `${PEM}${PEM}`);
  for (
    const [text, reason] of [
      ["", "it has no certificate"],
      ["\u0030\u0082", "it must be in PEM"],
      [`${PEM}-----BEGIN EC PRIVATE KEY-----\nsecret\n-----END EC PRIVATE KEY-----\n`, "it has a private key"],
    ] as const
  ) {
    const { message } = assertThrows(() => parseCaCertificates(text, "ca.pem"), UsageError, reason);
    assertEquals(message.includes("secret"), false);
  }
});

Deno.test("planCaFile() keeps the certificates of an existing file", () => {
  const other = PEM.replace("MIIB", "MIIC");
  const { merge } = planCaFile("/ca.crt", PEM);
  assertEquals(merge().text, PEM);
  assertEquals(merge(other.trimEnd()).text, `${other}${PEM}`);
  assertEquals(merge(`${PEM}${other}`).text, `${PEM}${other}`);
});
