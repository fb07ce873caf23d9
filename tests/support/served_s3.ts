import { MemoryS3 } from "./memory_s3.ts";

/** Objects in memory that are served as S3-compatible storage on 127.0.0.1. */
export interface ServedS3 extends AsyncDisposable {
  readonly memory: MemoryS3;
  /** The environment with which crpe uses `s3://bucket/…`. */
  readonly env: Readonly<Record<string, string>>;
}

/** Serves objects in memory. Their clock is that of the machine. */
export function serveMemoryS3(): ServedS3 {
  const memory = new MemoryS3();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    memory.now = Date.now();
    return memory.fetch(request);
  });
  return {
    memory,
    env: {
      AWS_ACCESS_KEY_ID: "key",
      AWS_SECRET_ACCESS_KEY: "secret",
      AWS_ENDPOINT_URL: `http://127.0.0.1:${server.addr.port}`,
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
