import { describeReferrer } from "../../oci/describe_referrer.ts";
import { computeDigest } from "../../oci/digest.ts";
import { cannot, RegistryError } from "../../oci/error.ts";
import { parseJson } from "../../oci/json.ts";
import { type Descriptor, MEDIA_TYPE, parseManifest } from "../../oci/manifest.ts";
import type { EndpointClient } from "../endpoint_client.ts";
import { fetchManifest } from "../manifest_request.ts";
import { fetchReferrersByApi, referrersTagOf } from "../referrer_list.ts";
import { type PushedManifest, pushManifest } from "./push_manifest.ts";

/**
 * Adds a manifest with a `subject` to the list under the referrers tag, if the registry has no referrers API (distribution
 * specification, "Pushing Manifests with Subject"). Clients that add another one at the same time may undo it; the same
 * push again repairs that.
 *
 * @throws {RegistryError} when the registry does not accept it, or the tag is that of an image
 */
export async function addToReferrers(
  client: EndpointClient,
  { path, repo, descriptor }: PushedManifest,
  bytes: Uint8Array,
): Promise<void> {
  const manifest = parseManifest(bytes, descriptor.mediaType);
  const subject = manifest.subject?.digest;
  if (subject === undefined || typeof await fetchReferrersByApi(client, { repo, path }, subject) === "object") return;
  const tag = referrersTagOf(subject);
  const listed = await fetchManifest(client, { repo, path, tagOrDigest: tag });
  if (listed !== undefined && (listed.manifest.kind !== "index" || listed.descriptor.digest === subject)) {
    const [action, reason] = [
      `list ${descriptor.digest} as a referrer in ${repo}`,
      `its tag ${tag} is that of an image`,
    ];
    throw new RegistryError("BAD_GATEWAY", cannot(action, reason, "--no-referrers leaves referrers out"));
  }
  const others: readonly Descriptor[] = listed?.manifest.kind === "index" ? listed.manifest.manifests : [];
  if (others.some(({ digest }) => digest === descriptor.digest)) return;
  const { mediaType, digest, size } = descriptor;
  // Entries of other clients, and what their list says of itself, stay as they are, also the fields that crpe does not know.
  const list = listed === undefined ? {} : parseJson(listed.bytes, tag) as { readonly manifests?: readonly unknown[] };
  const added = describeReferrer({ descriptor: { mediaType, digest, size }, manifest }, subject);
  const manifests = [...list.manifests ?? [], added];
  const document = JSON.stringify({ ...list, schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests });
  const index = new TextEncoder().encode(document);
  const described = { mediaType: MEDIA_TYPE.ociIndex, digest: computeDigest(index), size: index.length };
  await pushManifest(client, { path, repo, tag, descriptor: described }, index);
}
