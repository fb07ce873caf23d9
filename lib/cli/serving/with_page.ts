import { answerError } from "../../agent/answer.ts";
import type { SecureAddress } from "../../agent/options.ts";
import { RegistryError } from "../../oci/error.ts";
import { isPageRequest } from "../../page/page_route.ts";
import { pathOf } from "../../server/exchange.ts";
import type { Invocation } from "../command_line/command.ts";
import { describeError } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { methodLabel } from "./metrics.ts";
import type { PageSettings } from "./open_page.ts";
import type { Handler } from "./serve.ts";
import type { ServerContext } from "./serve_registry.ts";

/**
 * Adds the page to a server, unless `--no-page` is given. The page's modules and files are read at the first request. While
 * that fails, such as for a token file that every user may read, requests for the page are answered 503 with the reason.
 */
export function withPage(
  handler: Handler,
  { invocation, io, context }: { invocation: Invocation; io: Io; context: ServerContext },
  settings: PageSettings,
): Handler {
  if (invocation.isSet("no-page")) return handler;
  const load = async () => (await import("./open_page.ts")).openPage({ invocation, io, context }, settings);
  let page: ReturnType<typeof load> | undefined;
  const open = () =>
    page ??= load().catch((error) => {
      page = undefined;
      throw error;
    });
  return async (request, exchange) => {
    if (!isPageRequest(pathOf(request), request.headers)) return await handler(request, exchange);
    // Read now, because the runtime discards a request once it is answered.
    const { method } = request;
    let opened: Handler;
    try {
      opened = await open();
    } catch (error) {
      const reason = describeError(error);
      context.log.write("error", `the page: ${reason}`);
      context.metrics.add("crpe_requests_total", 1, { kind: "page", method: methodLabel(method), status: "503" });
      const answer = answerError(new RegistryError("UNAVAILABLE", reason, { cause: error }));
      return method === "HEAD" ? new Response(null, answer) : answer;
    }
    return await opened(request, exchange);
  };
}

/**
 * Prints the address of the page with a one-time code, as a QR code, when a server with `--qr` listens. The server does not
 * wait for it.
 */
export function announcePairing(
  url: string,
  { invocation, io, secure }: { invocation: Invocation; io: Io; secure?: SecureAddress | undefined },
): void {
  if (!invocation.isSet("qr") || invocation.isSet("no-page")) return;
  const show = async () => {
    const { createPairingText } = await import("./show_pairing.ts");
    const { readSettings } = await import("../command_line/settings.ts");
    io.err(await createPairingText((await readSettings(invocation, io, { canUseBucket: true })).data, url, secure));
  };
  show().catch((error: Error) => io.err(`warning: Cannot print a code for the page: ${error.message}\n`));
}
