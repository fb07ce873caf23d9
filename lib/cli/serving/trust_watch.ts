import type { SiteTrust } from "../../install/trust.ts";
import type { ServerContext } from "./serve_registry.ts";

/**
 * Writes into the audit log whom an agent trusts: at its start, and whenever that has changed. Trusted keys are files that
 * other programs change, so that the log has what was used, not who has changed it.
 */
export class TrustWatch {
  readonly #context: Pick<ServerContext, "audit" | "isReadOnly">;
  #last: string | undefined;

  constructor(context: Pick<ServerContext, "audit" | "isReadOnly">) {
    this.#context = context;
  }

  /** Logs whom the agent trusts, unless it is what it was. @returns the same */
  async see(trust: SiteTrust | undefined): Promise<SiteTrust | undefined> {
    const { audit, isReadOnly } = this.#context;
    const policy = { entries: trust?.policy?.describe() ?? [], firstUse: trust?.firstUse !== undefined };
    const text = JSON.stringify(policy);
    // An agent without trusted keys has nothing to say, until it had some.
    const isNews = text !== this.#last && (this.#last !== undefined || trust !== undefined);
    this.#last = text;
    if (!isNews || isReadOnly) return trust;
    await audit.end(crypto.randomUUID(), { action: "trusted-keys", by: { user: "agent" }, ...policy }, {
      result: "in use",
    });
    return trust;
  }
}
