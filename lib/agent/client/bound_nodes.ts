import { writeFileDurably } from "../../files/durable.ts";
import { ifPresent } from "../../files/if_present.ts";
import { CorruptError, RefusedError } from "../../oci/error.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import type { NodeAccess } from "./node_sender.ts";

/** An agent that bundles are sent to. */
export interface BoundNode extends NodeAccess {
  readonly token: string;
}

const MAX_NODES = 200;
const OWNER_ONLY = { mode: 0o600 };

/**
 * The agents that the page sends bundles to, with their tokens: `kubepkg/.nodes.json` in the data folder, readable by its
 * owner only. One process writes it, the server of the data folder.
 */
export class BoundNodes {
  readonly #path: string;
  #last: Promise<unknown> = Promise.resolve();

  /** @param data the data folder */
  constructor(data: string) {
    this.#path = `${data}/kubepkg/.nodes.json`;
  }

  /** Lists the agents in the order of their addresses. @throws {CorruptError} for a file that cannot be read */
  async list(): Promise<BoundNode[]> {
    const bytes = await ifPresent(Deno.readFile(this.#path));
    if (bytes === undefined) return [];
    const document = parseJson(bytes, this.#path);
    const nodes = isJsonObject(document) ? document.nodes : undefined;
    if (Array.isArray(nodes) && nodes.every(isBoundNode)) return nodes;
    throw new CorruptError(`Cannot read ${this.#path}: it is no list of agents; delete it, and add them again`);
  }

  /** Finds an agent by its address. */
  async find(url: string): Promise<BoundNode | undefined> {
    return (await this.list()).find((node) => node.url === url);
  }

  /** Adds an agent, or replaces its token. @throws {RefusedError} when there are 200 already */
  async add(node: BoundNode): Promise<void> {
    await this.#change((nodes) => {
      const others = nodes.filter(({ url }) => url !== node.url);
      if (others.length < MAX_NODES) return [...others, node].sort((a, b) => a.url < b.url ? -1 : 1);
      throw new RefusedError(`Cannot add ${node.url}: ${MAX_NODES} agents are known already; forget one first`);
    });
  }

  /** Forgets an agent. */
  async remove(url: string): Promise<void> {
    await this.#change((nodes) => nodes.filter((node) => node.url !== url));
  }

  async #change(edit: (nodes: readonly BoundNode[]) => BoundNode[]): Promise<void> {
    const change = this.#last.then(async () => {
      const bytes = new TextEncoder().encode(`${JSON.stringify({ nodes: edit(await this.list()) }, undefined, 2)}\n`);
      const temporary = `${this.#path}.${crypto.randomUUID()}.tmp`;
      await writeFileDurably(this.#path, bytes, { temporary, ownership: OWNER_ONLY });
    });
    this.#last = change.catch(() => {});
    await change;
  }
}

function isBoundNode(value: unknown): value is BoundNode {
  return isJsonObject(value) && typeof value.url === "string" && typeof value.token === "string" &&
    (value.ca === undefined || typeof value.ca === "string") && (value.pin === undefined || isPin(value.pin));
}

function isPin(value: unknown): boolean {
  return isJsonObject(value) && typeof value.pem === "string" && typeof value.isOwn === "boolean";
}
