import { isJsonObject } from "../oci/json.ts";
import type { Finding } from "./finding.ts";

/** What is known about docker on this machine. */
interface DockerStoreOptions {
  /** The root folder of the machine, without a slash at its end. */
  readonly prefix: string;
  /** The text of `/etc/docker/daemon.json`. */
  readonly config: string;
  /** Returns the URLs of docker's mirrors that ask for a login. Called only if docker may use the older store. */
  readonly listClosed: () => Promise<readonly string[]>;
}

/**
 * Checks whether docker uses its mirrors when they ask for a login: with its older image store (overlay2) it sends them
 * none, and pulls from Docker Hub without a word. The containerd image store sends the login.
 *
 * @returns `undefined` when there is nothing to report
 */
export async function checkDockerStore(
  { prefix, config, listClosed }: DockerStoreOptions,
): Promise<Omit<Finding, "step"> | undefined> {
  const json: unknown = JSON.parse(config);
  if (!isJsonObject(json)) return undefined;
  const { features } = json;
  if (isJsonObject(features) && features["containerd-snapshotter"] === true) return undefined;
  const root = typeof json["data-root"] === "string" ? json["data-root"] : "/var/lib/docker";
  const folder = `${prefix}${root}/image/overlay2`;
  const isOld = await Deno.stat(folder).then(() => true, (error) => {
    return error instanceof Deno.errors.PermissionDenied ? undefined : false;
  });
  if (isOld === false) return undefined;
  const closed = await listClosed();
  if (closed.length === 0) return undefined;
  const advice = 'set "features": {"containerd-snapshotter": true} in /etc/docker/daemon.json and restart docker, or ' +
    "serve Docker Hub's images without a login (--private names the hosts that need one)";
  const names = closed.join(", ");
  return isOld
    ? {
      status: "broken",
      message:
        `docker never uses ${names}, which asks for a login: its image store overlay2 (${folder}) sends none to mirrors`,
      advice,
    }
    : {
      status: "warning",
      message: `${names} asks for a login, which docker's older image store never sends; ${folder} cannot be read`,
      advice: `run crpe doctor as root; if docker uses overlay2, ${advice}`,
    };
}
