import { isPageRequest } from "../../page/page_route.ts";
import { pathOf } from "../../server/exchange.ts";
import type { Invocation } from "../command_line/command.ts";
import type { Io } from "../console/io.ts";
import type { PageSettings } from "./open_page.ts";
import type { Handler } from "./serve.ts";
import type { ServerContext } from "./serve_registry.ts";

/** Adds the page to a server, unless `--no-page` is given. The page's modules and files are read at the first request. */
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
  return async (request, exchange) =>
    isPageRequest(pathOf(request), request.headers)
      ? await (await open())(request, exchange)
      : await handler(request, exchange);
}

/**
 * Prints the address of the page with a one-time code, as a QR code, when a server with `--qr` listens. The server does not
 * wait for it.
 */
export function announcePairing(url: string, { invocation, io }: { invocation: Invocation; io: Io }): undefined {
  if (!invocation.isSet("qr") || invocation.isSet("no-page")) return;
  const show = async () => {
    const { createPairingText } = await import("./show_pairing.ts");
    const { readSettings } = await import("../command_line/settings.ts");
    io.err(await createPairingText((await readSettings(invocation, io)).data, url));
  };
  show().catch((error: Error) => io.err(`warning: Cannot print a code for the page: ${error.message}\n`));
}
