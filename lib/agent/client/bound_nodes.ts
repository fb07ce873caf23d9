import { cannot, RefusedError } from "../../oci/error.ts";
import { isJsonObject } from "../../oci/json.ts";
import { ListFile } from "../list_file.ts";
import type { NodeAccess } from "./node_sender.ts";

/** An agent that bundles are sent to. */
export interface BoundNode extends NodeAccess {
  readonly token: string;
}

const MAX_NODES = 200;

/**
 * The agents that the page sends bundles to, with their tokens: `kubepkg/.nodes.json` in the data folder, readable by its
 * owner only.
 */
export class BoundNodes {
  readonly #file: ListFile<BoundNode>;

  /** @param data the data folder */
  constructor(data: string) {
    this.#file = new ListFile(data, {
      name: "nodes",
      isItem: isBoundNode,
      problem: "it is no list of agents; delete it, and add them again",
    });
  }

  /** Lists the agents in the order of their addresses. @throws {CorruptError} for a file that cannot be read */
  async list(): Promise<BoundNode[]> {
    return await this.#file.read();
  }

  /** Finds an agent by its address. */
  async find(url: string): Promise<BoundNode | undefined> {
    return (await this.list()).find((node) => node.url === url);
  }

  /** Adds an agent, or replaces its token. @throws {RefusedError} when there are 200 already */
  async add(node: BoundNode): Promise<void> {
    await this.#file.change((nodes) => {
      const others = nodes.filter(({ url }) => url !== node.url);
      if (others.length < MAX_NODES) return [...others, node].sort((a, b) => a.url < b.url ? -1 : 1);
      throw new RefusedError(cannot(`add ${node.url}`, `${MAX_NODES} agents are known already`, "forget one first"));
    });
  }

  /** Forgets an agent. */
  async remove(url: string): Promise<void> {
    await this.#file.change((nodes) => nodes.filter((node) => node.url !== url));
  }
}

function isBoundNode(value: unknown): value is BoundNode {
  return isJsonObject(value) && typeof value.url === "string" && typeof value.token === "string" &&
    (value.ca === undefined || typeof value.ca === "string") && (value.pin === undefined || isPin(value.pin));
}

function isPin(value: unknown): boolean {
  return isJsonObject(value) && typeof value.pem === "string" && typeof value.isOwn === "boolean";
}
