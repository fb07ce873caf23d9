/** A TCP proxy on 127.0.0.1 that counts what clients send. */
export interface CountingProxy extends AsyncDisposable {
  readonly url: string;
  /** How many bytes clients have sent, including request headers. */
  readonly bytes: number;
  /** Resolves when clients have sent this many bytes in total. */
  reached(bytes: number): Promise<void>;
  /** Closes all connections; new ones are accepted. */
  cut(): void;
  /** Lets new connections wait until the returned function is called: the server may be gone meanwhile. */
  pause(): () => void;
}

/**
 * Starts a proxy in front of a server.
 *
 * @param target `http://127.0.0.1:5000`
 * @param port the port to listen on; by default any free one
 * @param pace the largest number of bytes forwarded at a time. Blocks of more than 4 KiB are delayed by a millisecond,
 *   so that a test can act in the middle of a transfer.
 */
export function startCountingProxy(target: string, { port: own = 0, pace = 64 * 1024 } = {}): CountingProxy {
  const { hostname, port } = new URL(target);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: own });
  const connections = new Set<Deno.Conn>();
  const running = new Set<Promise<void>>();
  const waiting: { at: number; resolve: () => void }[] = [];
  let bytes = 0;
  let passing = Promise.withResolvers<void>();
  passing.resolve();
  const close = (connection: Deno.Conn) => {
    try {
      connection.close();
    } catch {
      // It is closed already.
    }
  };
  const count = (size: number) => {
    bytes += size;
    for (const { at, resolve } of waiting) if (bytes >= at) resolve();
  };
  const pass = async (from: Deno.Conn, to: Deno.Conn, onBytes: (size: number) => void | Promise<void>) => {
    const buffer = new Uint8Array(pace);
    try {
      for (let got = await from.read(buffer); got !== null; got = await from.read(buffer)) {
        await onBytes(got);
        for (let at = 0; at < got;) at += await to.write(buffer.subarray(at, got));
      }
    } catch {
      // One of the two sides has disconnected.
    } finally {
      close(from);
      close(to);
    }
  };
  const serve = async (client: Deno.Conn) => {
    connections.add(client);
    let server: Deno.Conn;
    await passing.promise;
    try {
      server = await Deno.connect({ hostname, port: Number(port) });
    } catch {
      return close(client);
    }
    connections.add(server);
    const up = async (size: number) => {
      count(size);
      if (size > 4096) await new Promise((resolve) => setTimeout(resolve, 1));
    };
    await Promise.all([pass(client, server, up), pass(server, client, () => {})]);
  };
  const accepting = (async () => {
    for await (const client of listener) {
      const task: Promise<void> = serve(client).finally(() => running.delete(task));
      running.add(task);
    }
  })().catch(() => {});
  return {
    url: `http://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`,
    get bytes() {
      return bytes;
    },
    reached: (at) =>
      new Promise((resolve) => {
        if (bytes >= at) resolve();
        else waiting.push({ at, resolve });
      }),
    cut: () => connections.forEach(close),
    pause() {
      passing = Promise.withResolvers();
      return passing.resolve;
    },
    async [Symbol.asyncDispose]() {
      listener.close();
      passing.resolve();
      connections.forEach(close);
      await accepting;
      await Promise.all(running);
    },
  };
}
