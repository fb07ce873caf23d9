import { parseReference } from "../../oci/reference.ts";

/** An image and what it is: `registry.lan/app:1.0@sha256:…`. A reference that ends with a digest is given as it is. */
export function formatImage(reference: string, digest: string): string {
  return parseReference(reference).digest === undefined ? `${reference}@${digest}` : reference;
}
