import { readText } from "../../files/read_text.ts";
import { ifPresent } from "../../files/if_present.ts";
import { parseCaCertificates } from "../../mirror/ca_file.ts";
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
import type { ContainerdPlace } from "./containerd_folder.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** The default address of a crpe on this machine. */
const DEFAULT_URL = "http://127.0.0.1:6060";

/** The client to configure, and the place of its files. */
export interface Target extends ContainerdPlace {
  readonly client: MirrorClient;
}

/** Reads which client is configured, and where its files are. @throws {UsageError} for an unknown client */
export function readTarget(invocation: Invocation): Target {
  const [name = ""] = invocation.arguments;
  const client = MIRROR_CLIENTS.find((client) => client.name === name);
  if (client === undefined) {
    const names = MIRROR_CLIENTS.map(({ name }) => name);
    throw new UsageError(
      cannot(`configure ${JSON.stringify(name)}`, `it must be one of ${names.join(", ")}${didYouMean(name, names)}`),
    );
  }
  const [root, path] = [invocation.flag("root"), invocation.flag("path")];
  if (root !== undefined && path !== undefined) {
    throw new UsageError(cannot("use --root together with --path", "--path is the full path already"));
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

/** Reads the address of crpe, and the registries that are mirrored. @throws {UsageError} when a value is not valid */
export async function readMirror(invocation: Invocation): Promise<Mirror> {
  const hosts = invocation.flags("host").map(parseMirroredHost);
  const mirror = {
    url: parseMirrorUrl(invocation.flag("to") ?? DEFAULT_URL),
    hosts: hosts.length > 0 ? [...new Set(hosts)] : undefined,
    isOnly: invocation.isSet("only"),
  };
  const caFile = invocation.flag("ca-file");
  if (caFile === undefined) return mirror;
  if (!mirror.url.startsWith("https:")) throw new UsageError(cannot("use --ca-file without an https address in --to"));
  const text = await ifPresent(readText(caFile));
  const what = `--ca-file ${JSON.stringify(caFile)}`;
  if (text === undefined) throw new UsageError(cannot(`use ${what}`, "it does not exist"));
  return { ...mirror, caCertificates: parseCaCertificates(text, what) };
}

/** Lists the files of the client. @throws {UsageError} when the client cannot have such a mirror */
export function planFiles({ client, place }: Target, mirror: Mirror): readonly MirrorFile[] {
  return client.plan(mirror, { place, wellKnown: WELL_KNOWN_REGISTRIES });
}
