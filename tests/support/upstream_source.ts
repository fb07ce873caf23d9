import { createEndpointSelector, type UpstreamEntry } from "../../lib/upstream/endpoints.ts";
import type { UpstreamEvent } from "../../lib/upstream/transport/events.ts";
import type { UpstreamOptions } from "../../lib/upstream/upstream_options.ts";
import { UpstreamSource } from "../../lib/upstream/upstream_source.ts";

/** An upstream source that does not sleep, and a record of its waits and events. */
export interface TestSource {
  readonly source: UpstreamSource;
  /** The requested waits, in milliseconds. */
  readonly waits: number[];
  readonly events: UpstreamEvent[];
}

/** The registry's name in the tests' image references. */
export const REGISTRY = "registry.example.com";
/** A repository of the registry. */
export const REPO = `${REGISTRY}/team/app`;
/** The repository's name on the registry itself. */
export const PATH = "team/app";

/** Creates a source that uses `url` as the endpoint of `REGISTRY`. */
export function createTestSource(
  url: string | readonly UpstreamEntry[],
  options: Partial<UpstreamOptions> = {},
): TestSource {
  const waits: number[] = [];
  const events: UpstreamEvent[] = [];
  const entries = typeof url === "string" ? [{ host: REGISTRY, url }] : url;
  const source = new UpstreamSource({
    endpointsOf: createEndpointSelector(entries),
    sleep: (milliseconds, signal) => {
      waits.push(milliseconds);
      return Promise.resolve(signal?.throwIfAborted());
    },
    random: () => 0.5,
    onEvent: (event) => events.push(event),
    ...options,
  });
  return { source, waits, events };
}

/** Makes bytes that do not repeat at any power of two. */
export function patternBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 7 + (i >> 8) * 13 + (i >> 16) * 31) & 0xff;
  return bytes;
}

/** Reads a stream to its end. */
export async function readAll(body: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(body as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
}
