import { parentOf } from "../../files/durable.ts";
import { type FileChange, isManaged, ManagedFile } from "../../files/managed_file.ts";
import { listFolder, readTextIfPresent } from "../../files/read_if_present.ts";
import { CONTAINERD, CONTAINERD_CONFIG, whyFolderUnread } from "../../mirror/containerd.ts";
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

/** The default address of a crpe on this machine. */
const DEFAULT_URL = "http://127.0.0.1:6060";

/** The client to configure, and the place of its files. */
interface Target {
  readonly client: MirrorClient;
  readonly root: string;
  /** The path of the client's file or folder, including the root. */
  readonly place: string;
}

/** `crpe mirror-config` */
export async function runMirrorConfig(invocation: Invocation, io: Io): Promise<number> {
  const target = readTarget(invocation);
  const mirror = readMirror(invocation);
  const files = planFiles(target.client, mirror);
  if (invocation.isSet("remove")) {
    if (invocation.isSet("write")) throw new UsageError("Cannot use --write together with --remove: choose one");
    return await remove(target, invocation.flags("host").length > 0 ? files : undefined, { invocation, io });
  }
  return invocation.isSet("write")
    ? await write(target, files, { invocation, io })
    : await print(target, files, { invocation, io });
}

interface CommandContext {
  readonly invocation: Invocation;
  readonly io: Io;
}

function readTarget(invocation: Invocation): Target {
  const [name = ""] = invocation.arguments;
  const client = MIRROR_CLIENTS.find((client) => client.name === name);
  if (client === undefined) {
    const names = MIRROR_CLIENTS.map(({ name }) => name);
    throw new UsageError(
      `Cannot configure ${JSON.stringify(name)}: it must be one of ${names.join(", ")}; ${didYouMean(name, names)}`,
    );
  }
  const [root, path] = [invocation.flag("root"), invocation.flag("path")];
  if (root !== undefined && path !== undefined) {
    throw new UsageError("Cannot use --root together with --path: --path is the full path already");
  }
  const prefix = root?.replace(/\/+$/, "") ?? "";
  return { client, root: root ?? "/", place: path?.replace(/(?<=.)\/+$/, "") ?? `${prefix}${client.path}` };
}

function readMirror(invocation: Invocation): Mirror {
  return asUsage(() => {
    const hosts = invocation.flags("host").map(parseMirroredHost);
    return {
      url: parseMirrorUrl(invocation.flag("to") ?? DEFAULT_URL),
      hosts: hosts.length > 0 ? [...new Set(hosts)] : undefined,
      isOnly: invocation.isSet("only"),
    };
  });
}

function planFiles(client: MirrorClient, mirror: Mirror): readonly MirrorFile[] {
  return asUsage(() => client.plan(mirror, WELL_KNOWN_REGISTRIES));
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
  { invocation, io }: CommandContext,
): Promise<number> {
  const merged = files.map((file) => ({ path: pathOf(target, file), ...file.merge() }));
  const printed = merged.map(({ path, text: content }) => ({ path, content }));
  const notes = [...merged.flatMap(({ notes }) => notes), ...await listNotes(target)];
  const { name, restart } = target.client;
  if (invocation.isSet("json")) {
    io.out(formatJson({ client: name, files: printed, restart, notes }));
    return 0;
  }
  if (printed.length === 1) io.err(`${printed[0]!.path}:\n`);
  io.out(printed.map(({ path, content }) => printed.length === 1 ? content : `# ${path}\n${content}`).join("\n"));
  printNotes(io, [`restart: ${restart}`, ...notes]);
  return 0;
}

async function write(
  target: Target,
  files: readonly MirrorFile[],
  { invocation, io }: CommandContext,
): Promise<number> {
  const merged: { file: ManagedFile; text: string }[] = [];
  const notes: string[] = [];
  // All files are merged before one is written: a file that cannot be merged leaves the others unchanged.
  for (const each of files) {
    const file = await ManagedFile.open(pathOf(target, each), target.root);
    const result = await mergeFile(file, each);
    merged.push({ file, text: result.text });
    notes.push(...result.notes);
  }
  const changes: FileChange[] = [];
  for (const { file, text } of merged) changes.push(await file.write(text));
  report(target, changes, { invocation, io, notes: [...notes, ...await listNotes(target)] });
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

/** @param files the files to restore; all files written by crpe when absent */
async function remove(
  target: Target,
  files: readonly MirrorFile[] | undefined,
  { invocation, io }: CommandContext,
): Promise<number> {
  const paths = files?.map((file) => pathOf(target, file)) ?? await listManaged(target);
  const changes: FileChange[] = [];
  for (const path of paths) {
    const change = await (await ManagedFile.open(path, target.root)).restore();
    if (change === undefined) continue;
    changes.push(change);
    if (change.action === "removed" && target.client === CONTAINERD) await removeIfEmpty(parentOf(path));
  }
  report(target, changes, { invocation, io, notes: [] });
  return 0;
}

/** Lists the client's files that crpe has written. */
async function listManaged({ client, place }: Target): Promise<string[]> {
  if (client !== CONTAINERD) return [place];
  const found: string[] = [];
  for (const { name } of await listFolder(place) ?? []) {
    const path = `${place}/${name}/hosts.toml`;
    if (await isManaged(path)) found.push(path);
  }
  return found.sort();
}

async function removeIfEmpty(folder: string): Promise<void> {
  const names = await Array.fromAsync(Deno.readDir(folder));
  if (names.length === 0) await Deno.remove(folder);
}

function pathOf({ place }: Target, { name }: MirrorFile): string {
  return name === "" ? place : `${place}/${name}`;
}

/** Lists notes about other files of the client that affect the result. */
async function listNotes({ client, root, place }: Target): Promise<string[]> {
  if (client === CONTAINERD) {
    const config = await readTextIfPresent(`${root.replace(/\/+$/, "")}${CONTAINERD_CONFIG}`);
    return [whyFolderUnread(config, CONTAINERD.path) ?? []].flat();
  }
  return client === CRIO || client === PODMAN ? await listOtherEntries(place) : [];
}

// If several files have an entry for a registry, the last one in the order of the file names takes effect.
async function listOtherEntries(place: string): Promise<string[]> {
  const folder = parentOf(place);
  const own = new Set(listRegistries(await readTextIfPresent(place) ?? ""));
  const names = (await listFolder(folder) ?? []).map(({ name }) => name).filter((name) => name.endsWith(".conf"));
  const notes: string[] = [];
  for (const path of [`${parentOf(folder)}/registries.conf`, ...names.sort().map((name) => `${folder}/${name}`)]) {
    if (path === place) continue;
    const shared = listRegistries(await readTextIfPresent(path) ?? "").filter((host) => own.has(host));
    if (shared.length === 0) continue;
    const effect = path.startsWith(`${folder}/`) && path > place
      ? "it takes precedence over crpe's file"
      : "crpe's file takes precedence";
    notes.push(`${path} also configures ${shared.join(", ")}: ${effect}`);
  }
  return notes;
}

function report(
  { client: { name, restart } }: Target,
  changes: readonly FileChange[],
  { invocation, io, notes }: CommandContext & { notes: readonly string[] },
): void {
  const isChanged = changes.some(({ action }) => action !== "unchanged");
  if (invocation.isSet("json")) {
    io.out(formatJson({ client: name, files: changes, restart: isChanged ? restart : null, notes }));
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
