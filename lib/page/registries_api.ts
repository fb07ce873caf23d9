import { answerJson } from "../agent/answer.ts";
import { readBody } from "../agent/request_body.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import type { PageRegistries } from "./page_options.ts";

// A CA file may have several certificates.
const BODY_LIMITS = { limit: 256 * 1024, stallTimeout: 10_000 };

/** Answers a change or a test of a registry. */
export async function answerRegistry(
  { kind, host }: { readonly kind: "registry-save" | "registry-removal" | "registry-test"; readonly host: string },
  request: Request,
  registries: PageRegistries,
): Promise<Response> {
  switch (kind) {
    case "registry-save":
      return answerJson(await registries.save(host, await readSettings(request) ?? {}));
    case "registry-test":
      return answerJson(await registries.test(host, await readSettings(request)));
    case "registry-removal":
      await registries.remove(host);
      return answerJson({ host, removed: true });
  }
}

/** `undefined` for an empty body. */
async function readSettings(request: Request): Promise<Record<string, unknown> | undefined> {
  const bytes = await readBody(request, BODY_LIMITS);
  if (bytes.length === 0) return undefined;
  const document = parseJson(bytes, "the request");
  if (isJsonObject(document)) return document;
  throw new RegistryError("INVALID", cannot("read the settings", 'send {"url":"…","username":"…","password":"…"}'));
}
