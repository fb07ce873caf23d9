import type { RateLimit } from "../../http/rate_limit.ts";
import type { RegistryError } from "../../oci/error.ts";

/** An event of a request to an upstream. `host` is the host of the request; no event contains a secret. */
export type UpstreamEvent =
  /** A response was received. `path` has no query. */
  | { type: "request"; host: string; method: string; path: string; status: number; rateLimit?: RateLimit }
  /** A configured login was accepted or refused. */
  | { type: "login"; host: string; isAccepted: boolean }
  /** The request failed without a response. */
  | { type: "error"; host: string; method: string; path: string; reason: string }
  /** A response was received, but its content is wrong. */
  | { type: "wrong"; host: string; error: RegistryError }
  /** The request is retried in `delay` milliseconds. */
  | { type: "retry"; host: string; path: string; attempt: number; delay: number; reason: string }
  /** The transfer of a blob broke off and resumes at byte `offset` in `delay` milliseconds. */
  | { type: "resume"; host: string; path: string; attempt: number; delay: number; offset: number; reason: string }
  /** crpe refused to do something that the upstream requested. */
  | { type: "refused"; host: string; reason: string };

/** Called for each event. It must not throw: an error would end the request. */
export type OnUpstreamEvent = (event: UpstreamEvent) => void;
