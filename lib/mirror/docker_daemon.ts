import { isJsonObject } from "../oci/json.ts";
import { DEFAULT_HOST } from "../oci/reference.ts";
import { planCaFile } from "./ca_file.ts";
import { setJsonList } from "./json_text.ts";
import { addressOf, folderOf, type MergedFile, type Mirror, type MirrorClient } from "./mirror.ts";
import { cannot, CrpeError, UsageError } from "../oci/error.ts";

/**
 * docker's `daemon.json`. Its mirrors (`registry-mirrors`) apply to Docker Hub's images only. Other images are named by
 * crpe's address, and by plain HTTP only if `insecure-registries` lists it.
 */
export const DOCKER: MirrorClient = {
  name: "docker",
  path: "/etc/docker/daemon.json",
  restart: "systemctl reload docker",
  plan(mirror, { place }) {
    if (mirror.isOnly) {
      throw new UsageError(cannot(`keep docker from asking ${DEFAULT_HOST} after its mirrors`, "it always does"));
    }
    const other = mirror.hosts?.find((host) => host !== DEFAULT_HOST);
    if (other !== undefined) {
      throw new UsageError(
        cannot(
          `make docker pull ${other}'s images from a mirror`,
          `it supports mirrors of ${DEFAULT_HOST} only`,
          `name images as ADDRESS/${other}/…`,
        ),
      );
    }
    const file = { path: place, merge: (current?: string) => mergeDaemonJson(mirror, current) };
    if (mirror.caCertificates === undefined) return [file];
    return [planCaFile(`${certificatesFolder(place)}/${addressOf(mirror)}/ca.crt`, mirror.caCertificates), file];
  },
  listPaths: (place) => [place, `${certificatesFolder(place)}/*/ca.crt`],
  listMirrors: (text) =>
    readList(parseDaemonJson(text), "registry-mirrors").map((url) => ({ url: url.replace(/\/+$/, "") })),
  certificatesFolder,
};

// Next to daemon.json, also in the folder of a rootless docker.
function certificatesFolder(place: string): string {
  return `${folderOf(place)}/certs.d`;
}

function mergeDaemonJson(mirror: Mirror, current: string | undefined): MergedFile {
  const json = parseDaemonJson(current ?? "");
  const mirrors = readList(json, "registry-mirrors");
  const insecure = readList(json, "insecure-registries");
  const address = addressOf(mirror);
  const isOurs = (url: string) => url.replace(/\/+$/, "") === mirror.url;
  const isListed = !isInsecure(mirror) || insecure.includes(address);
  const notes = isInsecure(mirror)
    ? [`insecure-registries has ${address}, so that docker pulls ${address}/quay.io/… by plain HTTP`]
    : [];
  if (current !== undefined && mirrors[0] !== undefined && isOurs(mirrors[0]) && isListed) {
    return { text: current, notes };
  }
  const others = mirrors.filter((url) => !isOurs(url));
  const start = current === undefined || current.trim() === "" ? "{}\n" : current;
  const mirrored = setJsonList(start, "registry-mirrors", [mirror.url, ...others]);
  const text = isListed || mirrored === undefined
    ? mirrored
    : setJsonList(mirrored, "insecure-registries", [...insecure, address]);
  if (text === undefined) {
    throw new CrpeError({
      reason: "it is written in a way that crpe cannot change safely",
      advice: `add ${mirror.url} in front of registry-mirrors by hand`,
    });
  }
  return {
    text,
    notes: [...others.length === 0 ? [] : [`${others.join(", ")} is kept, and is tried after crpe`], ...notes],
  };
}

// docker uses plain HTTP for 127.0.0.0/8 without being configured to.
function isInsecure({ url }: Mirror): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === "http:" && hostname !== "localhost" && !/^127\.\d+\.\d+\.\d+$/.test(hostname);
}

function parseDaemonJson(text: string): Record<string, unknown> {
  if (text.trim() === "") return {};
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new CrpeError("it is not JSON", { cause });
  }
  if (!isJsonObject(json)) throw new CrpeError("it is not a JSON object");
  return json;
}

function readList(json: Record<string, unknown>, name: string): string[] {
  const list = json[name] ?? [];
  if (Array.isArray(list) && list.every((item) => typeof item === "string")) return list;
  throw new CrpeError(`${name} is not a list of addresses`);
}
