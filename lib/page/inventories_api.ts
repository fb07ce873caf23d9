import { answerJson } from "../agent/answer.ts";
import { readBody } from "../agent/request_body.ts";
import type { PageInventories } from "./page_options.ts";

// As much as an inventory may have.
const BODY_LIMITS = { limit: 64 * 1024 * 1024, stallTimeout: 30_000 };

/** `PUT /api/inventories/NAME`: keeps the inventory of a site. */
export async function saveInventory(request: Request, name: string, inventories: PageInventories): Promise<Response> {
  const bytes = await readBody(request, BODY_LIMITS);
  await inventories.save(name, bytes);
  return answerJson({ name, size: bytes.length }, {}, 201);
}

/** `DELETE /api/inventories/NAME` */
export async function removeInventory(name: string, inventories: PageInventories): Promise<Response> {
  await inventories.remove(name);
  return answerJson({ name, removed: true });
}
