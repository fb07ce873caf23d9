/**
 * The minimal server on Deno: it answers every request with the same bytes.
 *
 *   constant_server PORT [FILE [CONTENT-TYPE]]
 */
const [port, file, type = "application/json"] = Deno.args;
const body = file === undefined ? new TextEncoder().encode("{}") : Deno.readFileSync(file);
const headers = {
  "content-type": type,
  "content-length": String(body.length),
  "cache-control": "no-transform",
};

Deno.serve({ hostname: "127.0.0.1", port: Number(port), onListen() {} }, () => new Response(body, { headers }));
