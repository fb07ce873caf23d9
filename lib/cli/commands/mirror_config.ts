import { ifPresent, listFolder } from "../../files/if_present.ts";
import { parentOf } from "../../files/parent_of.ts";
import { type FileChange, isManaged, ManagedFile } from "../../files/managed_file.ts";
import { parseCaCertificates } from "../../mirror/ca_file.ts";
import { CONTAINERD } from "../../mirror/containerd.ts";
import { CRIO, listRegistries, PODMAN } from "../../mirror/containers_conf.ts";
import {
  type Mirror,
  type MirrorClient,
  type MirrorFile,
  parseMirroredHost,
  parseMirrorUrl,
} from "../../mirror/mirror.ts";
import { MIRROR_CLIENTS } from "../../mirror/mirror_clients.ts";
import { WELL_KNOWN_REGISTRIES } from "../../upstream/endpoints.ts";
import type { Invocation } from "../command_line/command.ts";
import { didYouMean } from "../command_line/parse_command_line.ts";
import type { Io } from "../console/io.ts";
import { formatJson } from "../console/table.ts";
import { UsageError } from "../console/usage_error.ts";
import { adviseOnFolder, type ContainerdPlace, listConfigFiles, planFolder } from "./containerd_folder.ts";

/** The default address of a crpe on this machine. */
const DEFAULT_URL = "http://127.0.0.1:6060";

/** The client to configure, and the place of its files. */
interface Target extends ContainerdPlace {
  readonly client: MirrorClient;
}

/** `crpe mirror-config` */
export async function runMirrorConfig(invocation: Invocation, io: Io): Promise<number> {
  const target = readTarget(invocation);
  const mirror = await readMirror(invocation);
  const files = planFiles(target, mirror);
  const context = { invocation, io, notes: listCertificateNotes(target, mirror) };
  if (invocation.isSet("remove")) {
    if (invocation.isSet("write")) throw new UsageError("Cannot use --write together with --remove: choose one");
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

function readTarget(invocation: Invocation): Target {
  const [name = ""] = invocation.arguments;
  const client = MIRROR_CLIENTS.find((client) => client.name === name);
  if (client === undefined) {
    const names = MIRROR_CLIENTS.map(({ name }) => name);
    throw new UsageError(
      `Cannot configure ${JSON.stringify(name)}: it must be one of ${names.join(", ")}${didYouMean(name, names)}`,
    );
  }
  const [root, path] = [invocation.flag("root"), invocation.flag("path")];
  if (root !== undefined && path !== undefined) {
    throw new UsageError("Cannot use --root together with --path: --path is the full path already");
  }
  const place = path?.replace(/(?<=.)\/+$/, "");
  return {
    client,
    root: root ?? "/",
    prefix: root?.replace(/\/+$/, "") ?? "",
    // The client's files name others by their full paths.
    place: place === undefined ? client.path : place.startsWith("/") ? place : `${Deno.cwd()}/${place}`,
    isUsual: path === undefined,
  };
}

async function readMirror(invocation: Invocation): Promise<Mirror> {
  const mirror = asUsage(() => {
    const hosts = invocation.flags("host").map(parseMirroredHost);
    return {
      url: parseMirrorUrl(invocation.flag("to") ?? DEFAULT_URL),
      hosts: hosts.length > 0 ? [...new Set(hosts)] : undefined,
      isOnly: invocation.isSet("only"),
    };
  });
  const caFile = invocation.flag("ca-file");
  if (caFile === undefined) return mirror;
  if (!mirror.url.startsWith("https:")) throw new UsageError("Cannot use --ca-file without an https address in --to");
  const text = await ifPresent(Deno.readTextFile(caFile));
  try {
    if (text === undefined) throw new TypeError("it does not exist");
    return { ...mirror, caCertificates: parseCaCertificates(text) };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError(`Cannot use --ca-file ${JSON.stringify(caFile)}: ${error.message}`, { cause: error });
  }
}

function listCertificateNotes({ client }: Target, { url, caCertificates }: Mirror): string[] {
  if (!url.startsWith("https:") || caCertificates !== undefined) return [];
  return [`${client.name} must trust the certificate of ${url}: with a private CA, run this again with --ca-file=FILE`];
}

function planFiles({ client, place }: Target, mirror: Mirror): readonly MirrorFile[] {
  return asUsage(() => client.plan(mirror, { place, wellKnown: WELL_KNOWN_REGISTRIES }));
}

function asUsage<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
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
    throw new Error(`Cannot change ${file.path}: ${(cause as Error).message}`, { cause });
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

interface Report extends CommandContext {
  readonly client: MirrorClient;
  readonly restart: string;
}

function report(changes: readonly FileChange[], { invocation, io, notes, client, restart }: Report): void {
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
