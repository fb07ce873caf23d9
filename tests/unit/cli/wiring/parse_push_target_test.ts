import { parsePushTarget } from "../../../../lib/cli/wiring/open_push_target.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";

Deno.test("parsePushTarget: the registry, https unless it is this machine or http:// is written, and the prefix", () => {
  const rows: [text: string, host: string, prefix: string, url: string][] = [
    ["registry.lan", "registry.lan", "", "https://registry.lan"],
    ["registry.lan:5000/a/b", "registry.lan:5000", "a/b", "https://registry.lan:5000"],
    ["registry.lan:5000/a/", "registry.lan:5000", "a", "https://registry.lan:5000"],
    ["http://registry.lan:5000/", "registry.lan:5000", "", "http://registry.lan:5000"],
    ["HTTPS://Registry.LAN/a", "registry.lan", "a", "https://registry.lan"],
    ["localhost:5000", "localhost:5000", "", "http://localhost:5000"],
    ["https://localhost:5000", "localhost:5000", "", "https://localhost:5000"],
    ["127.0.0.1:5000/a", "127.0.0.1:5000", "a", "http://127.0.0.1:5000"],
    ["[::1]:5000", "[::1]:5000", "", "http://[::1]:5000"],
    ["docker.io/team", "docker.io", "team", "https://registry-1.docker.io"],
    ["registry:443", "registry:443", "", "https://registry:443"],
    ["registry.lan:443", "registry.lan", "", "https://registry.lan:443"],
    ["http://registry.lan:443", "registry.lan", "", "http://registry.lan:443"],
    ["registry.lan:80/a", "registry.lan:80", "a", "https://registry.lan:80"],
    ["registry:80", "registry:80", "", "https://registry:80"],
    ["https://[fd00::1]:80", "[fd00::1]:80", "", "https://[fd00::1]:80"],
    ["docker.io:443/team", "docker.io", "team", "https://registry-1.docker.io"],
  ];
  for (const [text, host, prefix, url] of rows) assertEquals(parsePushTarget(text), { host, prefix, url }, text);
});

Deno.test("parsePushTarget refuses what is no registry, and repeats no password", () => {
  const rows: [text: string | undefined, message: string][] = [
    [undefined, "name the registry with --to REGISTRY[/PREFIX]"],
    ["", 'Cannot use --to ""'],
    ["registry", "if registry is its name, write registry:443"],
    ["oci://registry.lan", "write REGISTRY or REGISTRY/PREFIX"],
    ["registry.lan/A", "write REGISTRY or REGISTRY/PREFIX"],
    ["registry.lan/a:1", "write REGISTRY or REGISTRY/PREFIX"],
    ["https://user:secret@registry.lan", 'Cannot use --to "https://…@registry.lan"'],
  ];
  for (const [text, message] of rows) assertThrows(() => parsePushTarget(text), Error, message);
});
