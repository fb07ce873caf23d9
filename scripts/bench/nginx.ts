import { findProgram } from "./program.ts";
import { type Server, startServer } from "./server.ts";

/** Starts an nginx that sends the files of a folder with sendfile(2), without an access log. */
export async function startNginx(folder: string, workFolder: string): Promise<Server> {
  await Deno.mkdir(workFolder, { recursive: true });
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const config = (port: number) =>
    `daemon off; master_process off; pid ${workFolder}/pid; error_log ${workFolder}/error.log;
events {}
http {
  access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
  ${temporary.map((name) => `${name}_temp_path ${workFolder}/${name};`).join(" ")}
  server { listen 127.0.0.1:${port}; root ${folder}; location = /v2/ { return 200 "{}"; } }
}
`;
  return await startServer((port) => {
    Deno.writeTextFileSync(`${workFolder}/nginx.conf`, config(port));
    return [findProgram("nginx")!, "-e", `${workFolder}/error.log`, "-c", `${workFolder}/nginx.conf`];
  });
}
