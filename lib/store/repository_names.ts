import { DEFAULT_HOST, isHostSegment, splitRepository } from "../oci/reference.ts";

/**
 * Returns the names under which a repository may be filed, its canonical name first. A folder that CNCF distribution
 * wrote has no host in its names: it may have `docker.io/library/nginx` as `library/nginx`, or as `nginx`. Earlier
 * versions of crpe kept the default port in the name of a host.
 */
export function repositoryNames(repo: string): string[] {
  if (!repo.startsWith(`${DEFAULT_HOST}/`)) return [repo, ...withDefaultPort(repo)];
  const path = repo.slice(DEFAULT_HOST.length + 1);
  const names = path.startsWith("library/") ? [repo, path, path.slice("library/".length)] : [repo, path];
  // A name that starts with a host belongs to another registry.
  return names.filter((name) => name === repo || !isHostSegment(name.split("/", 1)[0]!));
}

function withDefaultPort(repo: string): string[] {
  const { host, path } = splitRepository(repo);
  return path === "" || !isHostSegment(host) || /:[0-9]+$/.test(host) ? [] : [`${host}:443/${path}`];
}
