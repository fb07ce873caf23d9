import { connect as connectHttp2 } from "node:http2";

/** What an attack is aimed at. */
export interface AttackTarget {
  readonly port: number;
}

/** An attack in progress. Its connections are closed when it is disposed of. */
export interface Attack extends AsyncDisposable {
  /** How many connections are still open. */
  readonly open: number;
}

const AT_A_TIME = 50;
const encoder = new TextEncoder();

/** Opens connections that send `head` and then neither send nor read. */
export async function openSilent({ port }: AttackTarget, count: number, head = ""): Promise<Attack> {
  const connections = new Set<Deno.TcpConn>();
  const open = async () => {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    connections.add(connection);
    if (head !== "") await connection.write(encoder.encode(head)).catch(() => {});
  };
  for (let i = 0; i < count; i += AT_A_TIME) {
    // A server at its limit may refuse a connection.
    await Promise.allSettled(Array.from({ length: Math.min(AT_A_TIME, count - i) }, open));
  }
  return {
    get open() {
      return connections.size;
    },
    [Symbol.asyncDispose]() {
      for (const connection of connections) connection.close();
      return Promise.resolve();
    },
  };
}

/** Opens connections that request `path` and do not read the response. */
export function openUnread(target: AttackTarget, count: number, path: string): Promise<Attack> {
  return openSilent(target, count, `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
}

/** Opens HTTP/2 connections without TLS, each with streams that request `path` and do not read. */
export async function openStreams(
  { port }: AttackTarget,
  { connections, streams, path }: { connections: number; streams: number; path: string },
): Promise<Attack> {
  const sessions = Array.from({ length: connections }, () => {
    const session = connectHttp2(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 0 } });
    session.on("error", () => {});
    for (let i = 0; i < streams; i++) {
      try {
        session.request({ ":path": path, host: "127.0.0.1" }).on("error", () => {});
      } catch {
        break;
      }
    }
    return session;
  });
  await new Promise((resolve) => setTimeout(resolve, 2000));
  return {
    get open() {
      return sessions.filter(({ destroyed }) => !destroyed).length;
    },
    [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      return Promise.resolve();
    },
  };
}

/** Requests `path` again and again with several clients, and reads every response. */
export function openRepeating({ port }: AttackTarget, clients: number, path: string): Attack {
  const stop = new AbortController();
  const repeat = async () => {
    while (!stop.signal.aborted) {
      try {
        const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: stop.signal });
        await response.arrayBuffer();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  const running = Array.from({ length: clients }, repeat);
  return {
    open: clients,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all(running);
    },
  };
}
