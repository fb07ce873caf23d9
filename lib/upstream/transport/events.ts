import type { RegistryError } from "../../oci/error.ts";

/** Something that happened on the way to an upstream. `host` is the one that was asked; no event carries a secret. */
export type UpstreamEvent =
  /** An answer came. `path` is without query. */
  | { type: "request"; host: string; method: string; path: string; status: number }
  /** No answer came. */
  | { type: "error"; host: string; method: string; path: string; reason: string }
  /** An answer came, and was not what it had to be. */
  | { type: "wrong"; host: string; error: RegistryError }
  /** The request will be sent again in `delay` milliseconds. */
  | { type: "retry"; host: string; path: string; attempt: number; delay: number; reason: string }
  /** A blob's transfer broke off and goes on at byte `offset` in `delay` milliseconds. */
  | { type: "resume"; host: string; path: string; attempt: number; delay: number; offset: number; reason: string }
  /** Something that the upstream asked for was not done. */
  | { type: "refused"; host: string; reason: string };

/** Is told of each event; what it throws would end the request. */
export type OnUpstreamEvent = (event: UpstreamEvent) => void;
