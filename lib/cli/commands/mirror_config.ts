import { ifPresent, listFolder } from "../../files/if_present.ts";
import { parentOf } from "../../files/parent_of.ts";
import { type FileChange, isManaged, ManagedFile } from "../../files/managed_file.ts";
import { CONTAINERD } from "../../mirror/containerd.ts";
import { CRIO, listRegistries, PODMAN } from "../../mirror/containers_conf.ts";
import type { Mirror, MirrorClient, MirrorFile } from "../../mirror/mirror.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG } from "../command_line/flags.ts";
import type { Io } from "../console/io.ts";
import { formatJson } from "../console/table.ts";
import { adviseOnFolder, listConfigFiles, planFolder } from "./containerd_folder.ts";
import { planFiles, readMirror, readTarget, type Target } from "./mirror_target.ts";
import { cannot, CrpeError, UsageError } from "../../oci/error.ts";

/** `crpe mirror-config` */
export const COMMAND: CommandDefinition = {
  values: ["k3s", "containerd", "crio", "podman", "docker"],
  interrupted: "files that were changed have a backup; run the same command again, or with --remove to restore them",
  details: [
    "CLIENT is k3s, containerd, crio, podman or docker. Without --write or --remove, nothing is changed: the client's",
    "configuration is printed. If the mirror fails, clients fall back to the registry itself.",
  ].join("\n"),
  flags: [
    { name: "to", value: "URL", summary: "address of crpe, as seen from the client [http://127.0.0.1:6060]" },
    {
      name: "host",
      value: "HOST",
      isRepeatable: true,
      summary: "pull this registry's images from crpe [all; the well-known ones for crio and podman]",
    },
    { name: "only", summary: "never fall back to the registry itself (containerd, crio, podman)" },
    {
      name: "ca-file",
      value: "FILE",
      summary: "CA certificates (PEM) that the client must trust for an https address",
    },
    { name: "write", summary: "merge it into the client's files, and keep a backup of them" },
    { name: "remove", summary: "restore the files as they were before the first --write" },
    { name: "root", value: "DIR", summary: "root folder of the client's file system [/]" },
    {
      name: "path",
      value: "PATH",
      summary: "the client's file, or containerd's certs.d, if not the default one",
    },
    FLAG.json,
  ],
  examples: [
    ["crpe mirror-config k3s --to=http://192.168.1.20:6060 --write", "let a k3s node pull from crpe"],
    ["crpe mirror-config docker", "print the configuration, change nothing"],
  ],
  run: runMirrorConfig,
};

async function runMirrorConfig(invocation: Invocation, io: Io): Promise<number> {
  const target = readTarget(invocation);
  const mirror = await readMirror(invocation);
  const files = planFiles(target, mirror);
  const context = { invocation, io, notes: listCertificateNotes(target, mirror) };
  if (invocation.isSet("remove")) {
    if (invocation.isSet("write")) throw new UsageError(cannot("use --write together with --remove", "choose one"));
    return await remove(target, invocation.flags("host").length > 0 ? mirror.hosts : undefined, context);
  }
  return invocation.isSet("write") ? await write(target, files, context) : await print(target, files, context);
}

interface CommandContext {
  readonly invocation: Invocation;
  readonly io: Io;
  /** Notes for the user, which do not depend on the existing files. */
  readonly notes: readonly string[];
}

function listCertificateNotes({ client }: Target, { url, caCertificates }: Mirror): string[] {
  if (!url.startsWith("https:") || caCertificates !== undefined) return [];
  return [`${client.name} must trust the certificate of ${url}: with a private CA, run this again with --ca-file=FILE`];
}

// Only crpe's own part is printed: existing files may contain passwords.
async function print(
  target: Target,
  files: readonly MirrorFile[],
  { invocation, io, notes }: CommandContext,
): Promise<number> {
  const merged = files.map((file) => ({ path: target.prefix + file.path, ...file.merge() }));
  const printed = merged.map(({ path, text: content }) => ({ path, content }));
  const { name, restart } = target.client;
  const all = [
    ...merged.flatMap(({ notes }) => notes),
    ...notes,
    ...await listNotes(target),
    ...await listRefusals(target, files),
    ...target.client === CONTAINERD ? await adviseOnFolder(target) : [],
  ];
  if (invocation.isSet("json")) {
    io.out(formatJson({ client: name, files: printed, restart, notes: all }));
    return 0;
  }
  if (printed.length === 1) io.err(`${printed[0]!.path}:\n`);
  io.out(printed.map(({ path, content }) => printed.length === 1 ? content : `# ${path}\n${content}`).join("\n"));
  printNotes(io, [`restart: ${restart}`, ...all]);
  return 0;
}

async function write(
  target: Target,
  files: readonly MirrorFile[],
  context: CommandContext,
): Promise<number> {
  const merged: { file: ManagedFile; text: string }[] = [];
  const notes: string[] = [];
  // All files are merged before one is written: a file that cannot be merged leaves the others unchanged.
  for (const each of files) {
    const file = await ManagedFile.open(target.prefix + each.path, target.root);
    const result = await mergeFile(file, each);
    merged.push({ file, text: result.text });
    notes.push(...result.notes);
  }
  const folder = target.client === CONTAINERD ? await planFolder(target) : undefined;
  if (folder?.change !== undefined) {
    const { path, text } = folder.change;
    merged.push({ file: await ManagedFile.open(target.prefix + path, target.root), text });
  }
  const changes: FileChange[] = [];
  for (const { file, text } of merged) changes.push(await file.write(text));
  const restart = folder?.change === undefined ? target.client.restart : "systemctl restart containerd";
  const all = [...notes, ...context.notes, ...await listNotes(target), ...folder?.notes ?? []];
  report(changes, { ...context, client: target.client, restart, notes: all });
  return 0;
}

async function mergeFile(file: ManagedFile, { merge }: MirrorFile) {
  const base = await file.readBase();
  try {
    return merge(base);
  } catch (cause) {
    const { reason, advice } = cause instanceof CrpeError ? cause : new CrpeError((cause as Error).message);
    throw new CrpeError(cannot(`change ${file.path}`, reason, advice), { cause });
  }
}

/** Lists the files that `--write` would refuse to change. */
async function listRefusals({ prefix }: Target, files: readonly MirrorFile[]): Promise<string[]> {
  const notes: string[] = [];
  for (const { path, merge } of files) {
    try {
      merge(await ifPresent(Deno.readTextFile(prefix + path)));
    } catch (error) {
      // A file that this user cannot read may be fine.
      if (error instanceof Deno.errors.PermissionDenied) continue;
      notes.push(`--write cannot change ${prefix}${path}: ${(error as Error).message}`);
    }
  }
  return notes;
}

/** @param hosts the registries whose files to restore, where a client has a file for each; all when absent */
async function remove(target: Target, hosts: readonly string[] | undefined, context: CommandContext): Promise<number> {
  const paths = await listWritten(target, hosts);
  const changes: FileChange[] = [];
  for (const path of paths) {
    const change = await (await ManagedFile.open(path, target.root)).restore();
    if (change !== undefined) changes.push(change);
  }
  const removed = changes.filter(({ action }) => action === "removed").map(({ path }) => parentOf(path));
  for (const folder of new Set(removed.filter((folder) => parentOf(folder).endsWith("certs.d")))) {
    await removeIfEmpty(folder);
  }
  const { client } = target;
  const isConfig = changes.some(({ path }) =>
    client === CONTAINERD && !path.startsWith(`${target.prefix}${target.place}/`)
  );
  report(changes, {
    ...context,
    client,
    restart: isConfig ? "systemctl restart containerd" : client.restart,
    notes: [],
  });
  return 0;
}

/** Lists the paths of files that crpe may have written. */
async function listWritten(target: Target, hosts: readonly string[] | undefined): Promise<string[]> {
  const { client, prefix, place } = target;
  const found: string[] = [];
  for (const path of client.listPaths(place).map((path) => prefix + path)) {
    const [folder = "", rest] = path.split("/*/");
    if (rest === undefined) {
      found.push(path);
      continue;
    }
    const named = client === CONTAINERD && hosts !== undefined ? hosts : undefined;
    const names = named ?? (await listFolder(folder) ?? []).map(({ name }) => name).sort();
    for (const name of names) {
      if (await isManaged(`${folder}/${name}/${rest}`)) found.push(`${folder}/${name}/${rest}`);
    }
  }
  const isWhole = client === CONTAINERD && hosts === undefined && target.isUsual;
  return isWhole ? [...found, ...await listConfigFiles(target)] : found;
}

async function removeIfEmpty(folder: string): Promise<void> {
  if ((await listFolder(folder))?.length === 0) await Deno.remove(folder);
}

/** Lists notes about other files of the client that affect the result. */
async function listNotes({ client, prefix, place }: Target): Promise<string[]> {
  return client === CRIO || client === PODMAN ? await listOtherEntries(prefix + place) : [];
}

// If several files have an entry for a registry, the last one in the order of the file names takes effect.
async function listOtherEntries(place: string): Promise<string[]> {
  const folder = parentOf(place);
  const own = new Set(listRegistries(await ifPresent(Deno.readTextFile(place)) ?? ""));
  const names = (await listFolder(folder) ?? []).map(({ name }) => name).filter((name) => name.endsWith(".conf"));
  const notes: string[] = [];
  for (const path of [`${parentOf(folder)}/registries.conf`, ...names.sort().map((name) => `${folder}/${name}`)]) {
    if (path === place) continue;
    const shared = listRegistries(await ifPresent(Deno.readTextFile(path)) ?? "").filter((host) => own.has(host));
    if (shared.length === 0) continue;
    const effect = path.startsWith(`${folder}/`) && path > place
      ? "it takes precedence over crpe's file"
      : "crpe's file takes precedence";
    notes.push(`${path} also configures ${shared.join(", ")}: ${effect}`);
  }
  return notes;
}

function report(
  changes: readonly FileChange[],
  { invocation, io, notes, client, restart }: CommandContext & {
    readonly client: MirrorClient;
    readonly restart: string;
  },
): void {
  const isChanged = changes.some(({ action }) => action !== "unchanged");
  if (invocation.isSet("json")) {
    io.out(formatJson({ client: client.name, files: changes, restart: isChanged ? restart : null, notes }));
    return;
  }
  if (changes.length === 0) io.out("nothing to remove: crpe has written nothing there\n");
  for (const { path, action, backup, kept } of changes) {
    const aside = action === "written" && backup !== undefined ? `; the previous version is in ${backup}` : "";
    const after = kept === undefined ? "" : `; the version with later changes is in ${kept}`;
    io.out(`${action} ${path}${aside}${after}\n`);
  }
  printNotes(io, [...isChanged ? [`restart: ${restart}`] : [], ...notes]);
}

function printNotes(io: Io, lines: readonly string[]): void {
  for (const line of lines) io.err(`${line}\n`);
}
