import type { TrustVerdict } from "../../signature/trust_policy.ts";

/** Says who has signed a package, in one line; an unsigned one gives none. */
export function formatTrust({ state, keys }: TrustVerdict): string[] {
  if (state === "unsigned") return [];
  const names = keys.map(({ id, entry }) => entry === undefined ? id : `${id} (${entry})`).join(", ");
  return [
    state === "trusted"
      ? `  signed by ${names}`
      : `  names signatures by ${names}; they were not verified: no key is trusted`,
  ];
}
