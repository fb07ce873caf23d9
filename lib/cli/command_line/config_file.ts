// @ts-types="../../std/yaml.d.ts"
import { parse as parseYaml } from "@std/yaml";
import * as v from "valibot";
import { UsageError } from "../console/usage_error.ts";
import { didYouMean } from "./parse_command_line.ts";

const Host = v.strictObject({
  /** The endpoint, or several to be tried in order. */
  url: v.optional(v.union([v.string(), v.array(v.string())])),
  username: v.optional(v.string()),
  password: v.optional(v.string()),
  "password-file": v.optional(v.string()),
  "identity-token": v.optional(v.string()),
  "ca-file": v.optional(v.string()),
});

const List = v.union([v.pipe(v.string(), v.transform((text) => [text])), v.array(v.string())]);

const Config = v.strictObject({
  data: v.optional(v.string()),
  addr: v.optional(v.string()),
  upstream: v.optional(List, []),
  offline: v.optional(v.boolean()),
  platform: v.optional(v.union([v.string(), v.pipe(v.array(v.string()), v.transform((list) => list.join(",")))])),
  "tag-ttl": v.optional(v.string()),
  "cache-max": v.optional(v.string()),
  "tls-cert": v.optional(v.string()),
  "tls-key": v.optional(v.string()),
  hosts: v.optional(v.record(v.string(), Host), {}),
});

/** What `--config FILE` may say: the same as the flags, and what concerns single hosts. */
export type ConfigFile = v.InferOutput<typeof Config>;
/** What the configuration says of one host. */
export type HostConfig = v.InferOutput<typeof Host>;

/**
 * Reads a configuration file's text. The files that it names are looked for beside it.
 *
 * @param path names the file in the error
 * @throws {UsageError} naming the field; a value is never repeated, it may be a secret
 */
export function parseConfigFile(text: string, path: string): ConfigFile {
  let document: unknown;
  try {
    document = parseYaml(text) ?? {};
    if (Array.isArray(document)) throw new Error("a list");
  } catch (error) {
    // The parser quotes the document, and what it quotes may be a password.
    const at = /\bat line \d+(?:, column \d+)?/.exec((error as Error).message)?.[0] ?? "";
    throw new UsageError(`Cannot read the configuration ${path}: it is not YAML ${at}`.trimEnd());
  }
  const result = v.safeParse(Config, document);
  if (result.success) return withPathsFrom(path.slice(0, path.lastIndexOf("/") + 1), result.output);
  const [issue] = result.issues;
  const field = v.getDotPath(issue) ?? "the document";
  throw new UsageError(`Cannot use the configuration ${path}: ${field} ${describe(issue, field)}`);
}

// A service starts in another folder than the person who tried the file.
function withPathsFrom(folder: string, config: ConfigFile): ConfigFile {
  const resolve = <T extends object>(value: T, ...fields: (keyof T)[]): T => {
    const paths = fields.map((field) => [field, value[field]] as const)
      .filter((entry): entry is [keyof T, T[keyof T] & string] => typeof entry[1] === "string")
      .map(([field, path]) => [field, path.startsWith("/") ? path : `${folder}${path}`]);
    return { ...value, ...Object.fromEntries(paths) };
  };
  const hosts = Object.entries(config.hosts).map(([name, host]) => [name, resolve(host, "password-file", "ca-file")]);
  return { ...resolve(config, "tls-cert", "tls-key"), hosts: Object.fromEntries(hosts) };
}

function describe(issue: v.BaseIssue<unknown>, field: string): string {
  if (issue.type !== "strict_object" || issue.expected !== "never") {
    return `is not what it has to be (${issue.expected})`;
  }
  const known = Object.keys(field.startsWith("hosts.") ? Host.entries : Config.entries);
  return `is not known; ${didYouMean(field.split(".").at(-1) ?? field, known)}`;
}
