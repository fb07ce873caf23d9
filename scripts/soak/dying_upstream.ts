import { createRegistryHandler } from "../../lib/registry/handler.ts";
import type { MemoryStore } from "../../tests/support/memory_store.ts";
import type { Random } from "../../tests/support/random.ts";

/** How the upstream behaves: it answers, fails, sends half of a body, or sends nothing. */
export type UpstreamMood = "well" | "failing" | "cutting" | "silent";

/** An upstream on 127.0.0.1 that changes how it behaves. */
export interface DyingUpstream extends AsyncDisposable {
  readonly url: string;
  mood: UpstreamMood;
}

/** Serves a store. */
export function startDyingUpstream(store: MemoryStore, random: Random): DyingUpstream {
  const handler = createRegistryHandler(store);
  const silent = new Set<() => void>();
  let mood: UpstreamMood = "well";
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {}, onError }, async (request) => {
    if (mood === "failing" && random.chance(0.9)) return new Response("the upstream is ill", { status: 503 });
    if (mood === "silent") await new Promise<void>((resolve) => silent.add(resolve));
    const response = await handler(request);
    if (mood !== "cutting" || response.body === null || !request.url.includes("/blobs/")) return response;
    return new Response(response.body.pipeThrough(cutHalfway(response.headers)), response);
  });
  const release = () => {
    for (const resolve of silent) resolve();
    silent.clear();
  };
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    get mood() {
      return mood;
    },
    set mood(next) {
      mood = next;
      if (next !== "silent") release();
    },
    async [Symbol.asyncDispose]() {
      release();
      await server.shutdown();
    },
  };
}

// A body that breaks off is meant to.
function onError(): Response {
  return new Response(null, { status: 500 });
}

function cutHalfway(headers: Headers): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  let left = Number(headers.get("content-length")) / 2;
  return new TransformStream({
    transform(chunk, controller) {
      controller.enqueue(chunk.subarray(0, Math.max(0, left)));
      if ((left -= chunk.length) <= 0) controller.error(new Error("cut"));
    },
  });
}
