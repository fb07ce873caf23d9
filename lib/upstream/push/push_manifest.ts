import { cannot, RegistryError } from "../../oci/error.ts";
import type { Descriptor } from "../../oci/manifest.ts";
import { REFUSED_HEAD } from "../client_context.ts";
import type { EndpointClient } from "../endpoint_client.ts";

/** A manifest for a repository of a registry. */
export interface PushedManifest {
  /** The repository, for errors. */
  readonly repo: string;
  /** The repository on the registry. */
  readonly path: string;
  readonly descriptor: Descriptor;
  /** The tag that is to point to it; absent for a manifest that is pushed by its digest. */
  readonly tag?: string | undefined;
}

/** How long a registry may check what a manifest refers to, in milliseconds. */
const COMMIT_TIMEOUT = 120_000;

/**
 * Reports with a HEAD whether a registry has a manifest, and its tag points to it.
 *
 * @throws {RegistryError} when the registry does not answer
 */
export async function hasManifest(client: EndpointClient, manifest: PushedManifest): Promise<boolean> {
  const { path, repo, descriptor, tag } = manifest;
  const name = tag ?? descriptor.digest;
  const head = await client.sendForHead({
    method: "HEAD",
    path,
    resource: `manifests/${name}`,
    headers: { accept: descriptor.mediaType },
    action: `look up manifest ${name} of ${repo}`,
    accept: REFUSED_HEAD,
  });
  if (!head?.ok) return false;
  const digest = head.headers.get("docker-content-digest");
  return digest === null ? tag === undefined : digest === descriptor.digest;
}

/**
 * Pushes a manifest. What it refers to must be there (distribution specification, "Pushing Manifests").
 *
 * @returns whether the registry lists it as a referrer of its subject
 * @throws {RegistryError} when the registry does not accept it
 */
export async function pushManifest(
  client: EndpointClient,
  { path, repo, descriptor, tag }: PushedManifest,
  bytes: Uint8Array,
): Promise<boolean> {
  const name = tag ?? descriptor.digest;
  const action = `push manifest ${name} of ${repo}`;
  const fail = (reason: string) => new RegistryError("BAD_GATEWAY", cannot(`${action} to ${client.host}`, reason));
  const head = await client.sendForHead({
    method: "PUT",
    path,
    resource: `manifests/${name}`,
    headers: { "content-type": descriptor.mediaType },
    body: () => bytes as Uint8Array<ArrayBuffer>,
    answerTimeout: COMMIT_TIMEOUT,
    action,
  });
  if (head === undefined) throw fail("it has no such repository, or lacks content of the manifest");
  const digest = head.headers.get("docker-content-digest");
  if (digest !== null && digest !== descriptor.digest) throw fail(`it stored another manifest, ${digest}`);
  return head.headers.has("oci-subject");
}
