import { createServer, type IncomingMessage, request as sendRequest, type ServerResponse } from "node:http";

/** Options of `startS3Proxy`. */
export interface S3ProxyOptions {
  /** Gives the time that lists state of an object. Both times are in milliseconds. Default: the real one. */
  readonly modified?: (time: number) => number;
}

/** A proxy on 127.0.0.1. */
export interface S3Proxy extends AsyncDisposable {
  readonly url: string;
}

/**
 * Starts a proxy in front of object storage, in whose lists objects have another age. Signatures stay valid: the proxy passes
 * the Host on.
 *
 * @param target `http://127.0.0.1:8333`
 */
export async function startS3Proxy(target: string, { modified = (time) => time }: S3ProxyOptions): Promise<S3Proxy> {
  const { hostname, port } = new URL(target);
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const { method, url = "/", headers } = request;
    const isList = method === "GET" && /[?&](?:list-type|uploads)=/.test(url);
    const forwarded = sendRequest({ host: hostname, port: Number(port), method, path: url, headers }, (answer) => {
      answer.on("error", () => response.destroy());
      if (!isList) {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        return void answer.pipe(response);
      }
      const chunks: Uint8Array[] = [];
      answer.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      answer.on("end", async () => {
        const text = await new Blob(chunks.map((chunk) => chunk.slice())).text();
        const body = new TextEncoder().encode(text.replace(
          /<(LastModified|Initiated)>([^<]+)</g,
          (_, name, time) => `<${name}>${new Date(modified(Date.parse(time))).toISOString()}<`,
        ));
        const { "transfer-encoding": _encoding, ...others } = answer.headers;
        response.writeHead(answer.statusCode ?? 502, { ...others, "content-length": `${body.length}` });
        response.end(body);
      });
    });
    forwarded.on("error", () => response.destroy());
    request.on("error", () => forwarded.destroy());
    response.on("close", () => forwarded.destroy());
    request.pipe(forwarded);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: own } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${own}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
