import type { Command, CommandDefinition, CommandEntry } from "./command_line/command.ts";

/** What the help of the program says of a command, and the module that has the rest: flags, help and run. */
type Row = readonly [usage: string, summary: string, load: () => Promise<{ readonly COMMAND: CommandDefinition }>];

const ROWS: readonly Row[] = [
  ["registry", "serve the pull-only registry with its pull-through cache", () => import("./commands/registry.ts")],
  ["agent", "serve the registry, and install bundles received over HTTP", () => import("./commands/agent.ts")],
  ["pull IMAGE…", "pull images into the store", () => import("./commands/pull.ts")],
  [
    "tags REPO",
    "list the tags of a repository: at its registry, or with --offline those in the store",
    () => import("./commands/tags.ts"),
  ],
  [
    "pack KUBEPKG",
    "pack a release into a bundle: its manifests and every blob of its images",
    () => import("./commands/pack.ts"),
  ],
  [
    "outbox",
    "list the bundles that were packed with crpe pack --outbox; print the path of one, or remove some",
    () => import("./commands/outbox.ts"),
  ],
  [
    "inspect PKG.tgz",
    "show the content of a bundle, reading only its first entry",
    () => import("./commands/inspect.ts"),
  ],
  [
    "verify [PKG.tgz]",
    "re-hash all content of a bundle, or of the store, and list what is broken",
    () => import("./commands/verify.ts"),
  ],
  ["keygen FILE", "create a key pair for signing bundles: FILE and FILE.pub", () => import("./commands/keygen.ts")],
  ["sign PKG.tgz…", "sign bundles, or parts of one; other signatures are kept", () => import("./commands/sign.ts")],
  ["import PKG.tgz…", "import bundles into this machine's store", () => import("./commands/import.ts")],
  [
    "push PKG.tgz…",
    "send bundles to an agent: only its missing blobs, resuming after an interruption",
    () => import("./commands/push.ts"),
  ],
  [
    "inventory",
    "list the digests of the content in this machine's store, or in an agent's",
    () => import("./commands/inventory.ts"),
  ],
  ["gc", "remove unreferenced content", () => import("./commands/gc.ts")],
  ["images", "list the images in the store; remove, pin or measure them", () => import("./commands/images.ts")],
  [
    "load FILE…",
    "load images from docker save, podman save or OCI archives into the store",
    () => import("./commands/load.ts"),
  ],
  [
    "save IMAGE…",
    "write images of the store into one archive for docker load, podman load, ctr or skopeo",
    () => import("./commands/save.ts"),
  ],
  [
    "copy IMAGE…|FILE…",
    "push images of the store, of their registries, of bundles or of archives into any registry",
    () => import("./commands/copy.ts"),
  ],
  [
    "packages",
    "list the installed packages; show the status of one, roll it back, or remove it",
    () => import("./commands/packages.ts"),
  ],
  [
    "manifests PKG.tgz|NAME",
    "print the Kubernetes objects of a bundle or of an installed package, or write them as a Helm chart",
    () => import("./commands/manifests.ts"),
  ],
  [
    "receipt",
    "list the receipts of imports; show one; verify one that a site has sent back",
    () => import("./commands/receipt.ts"),
  ],
  ["token", "list the tokens of this machine's servers; create one, or revoke it", () => import("./commands/token.ts")],
  ["nodes [HOST[:PORT]…]", "find the agents on the local network", () => import("./commands/nodes.ts")],
  ["version", "print the version, the commit and the runtime", () => import("./commands/version.ts")],
  [
    "upgrade",
    "replace this executable with that of a release, after checking checksum and signature",
    () => import("./commands/upgrade.ts"),
  ],
  [
    "mirror-config CLIENT",
    "print or install the configuration that makes a client pull from crpe",
    () => import("./commands/mirror_config.ts"),
  ],
  [
    "doctor [IMAGE]",
    "find the first broken step (data folder, clock, upstreams, mirrors), or trace one image",
    () => import("./commands/doctor.ts"),
  ],
  [
    "status [URL]",
    "show what a running server does: connections, hits and misses, sizes, upstreams",
    () => import("./commands/status.ts"),
  ],
  [
    "completion SHELL",
    "print the completion of crpe's command line for bash, zsh or fish",
    async () => ({ COMMAND: (await import("./commands/completion.ts")).createCompletion(loadCommands) }),
  ],
];

/** All commands, in the order of the help. The module of a command is loaded when it runs, or its help is shown. */
export const COMMANDS: readonly CommandEntry[] = ROWS.map(([words, summary, loadModule]) => {
  const [name = "", operands = ""] = words.split(" ");
  const usage = { name, operands, summary };
  return { ...usage, load: async () => ({ ...usage, ...(await loadModule()).COMMAND }) };
});

/** Loads all commands, for what is made from the table of them. */
export async function loadCommands(): Promise<readonly Command[]> {
  return await Promise.all(COMMANDS.map(({ load }) => load()));
}
