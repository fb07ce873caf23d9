/** Idle connections, and connections whose request never ends. They are closed when this is disposed of. */
export interface HostileConnections extends AsyncDisposable {
  /** How many are still open. */
  readonly open: number;
}

const DRIP_MILLISECONDS = 200;
const AT_A_TIME = 50;

/** Opens connections to a server on this machine, and keeps them open for as long as the server allows. */
export async function openHostileConnections(
  { port, idle, dripping }: { port: number; idle: number; dripping: number },
): Promise<HostileConnections> {
  const connections = new Set<Deno.TcpConn>();
  const ends: Promise<void>[] = [];
  const open = async (isDripping: boolean) => {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    connections.add(connection);
    if (isDripping) await connection.write(new TextEncoder().encode("GET /v2/ HTTP/1.1\r\nHost: test\r\nX-Drip: "));
    const watch = async () => {
      try {
        while (await connection.read(new Uint8Array(1024)) !== null);
      } catch {
        // The server reset the connection, or it was closed below.
      }
      connections.delete(connection);
    };
    ends.push(watch());
    if (isDripping) drips.push(connection);
  };
  const drips: Deno.TcpConn[] = [];
  for (let i = 0; i < idle + dripping; i += AT_A_TIME) {
    const some = Array.from({ length: Math.min(AT_A_TIME, idle + dripping - i) }, (_, j) => open(i + j >= idle));
    await Promise.all(some);
  }
  const timer = setInterval(() => {
    for (const connection of drips) connection.write(new Uint8Array([0x61])).catch(() => {});
  }, DRIP_MILLISECONDS);
  return {
    get open() {
      return connections.size;
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      for (const connection of connections) connection.close();
      await Promise.all(ends);
    },
  };
}
