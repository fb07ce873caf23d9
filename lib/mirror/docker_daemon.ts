import { isJsonObject } from "../oci/json.ts";
import { DEFAULT_HOST } from "../oci/reference.ts";
import type { MergedFile, Mirror, MirrorClient } from "./mirror.ts";

/** docker's `daemon.json` (`registry-mirrors`). Its mirrors apply to Docker Hub's images only. */
export const DOCKER: MirrorClient = {
  name: "docker",
  path: "/etc/docker/daemon.json",
  restart: "systemctl reload docker",
  plan(mirror) {
    if (mirror.isOnly) {
      throw new TypeError(`Cannot keep docker from asking ${DEFAULT_HOST} after its mirrors: it always does`);
    }
    const other = mirror.hosts?.find((host) => host !== DEFAULT_HOST);
    if (other !== undefined) {
      throw new TypeError(
        `Cannot make docker pull ${other}'s images from a mirror: it supports mirrors of ${DEFAULT_HOST} only; name images as ADDRESS/${other}/…`,
      );
    }
    return [{ name: "", merge: (current) => mergeDaemonJson(mirror, current) }];
  },
  listMirrors(text) {
    const json = parseDaemonJson(text);
    return readMirrors(json).map((url) => url.replace(/\/+$/, ""));
  },
};

function mergeDaemonJson(mirror: Mirror, current: string | undefined): MergedFile {
  const json = parseDaemonJson(current ?? "");
  const mirrors = readMirrors(json);
  const isOurs = (url: string) => url.replace(/\/+$/, "") === mirror.url;
  if (current !== undefined && mirrors[0] !== undefined && isOurs(mirrors[0])) return { text: current, notes: [] };
  const others = mirrors.filter((url) => !isOurs(url));
  const indent = /\n([ \t]+)"/.exec(current ?? "")?.[1] ?? "  ";
  return {
    text: `${JSON.stringify({ ...json, "registry-mirrors": [mirror.url, ...others] }, undefined, indent)}\n`,
    notes: others.length === 0 ? [] : [`${others.join(", ")} is kept, and is tried after crpe`],
  };
}

function parseDaemonJson(text: string): Record<string, unknown> {
  if (text.trim() === "") return {};
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new Error("it is not JSON", { cause });
  }
  if (!isJsonObject(json)) throw new Error("it is not a JSON object");
  return json;
}

function readMirrors(json: Record<string, unknown>): string[] {
  const mirrors = json["registry-mirrors"] ?? [];
  if (Array.isArray(mirrors) && mirrors.every((url) => typeof url === "string")) return mirrors;
  throw new Error("registry-mirrors is not a list of addresses");
}
