// @ts-types="../../std/yaml.d.ts"
import { parse as parseYaml } from "@std/yaml";
import * as v from "valibot";
import { didYouMean } from "./parse_command_line.ts";
import { cannot, UsageError } from "../../oci/error.ts";

const Text = v.pipe(v.string(), v.minLength(1));
const List = v.pipe(
  v.union([v.string(), v.array(v.string())]),
  v.transform((texts) => [texts].flat()),
  v.everyItem((text) => text !== ""),
);

const Host = v.strictObject({
  /** The URL of the endpoint, or several to try in order. */
  url: v.optional(v.union([Text, v.array(Text)])),
  username: v.optional(v.string()),
  password: v.optional(v.string()),
  "password-file": v.optional(Text),
  "identity-token": v.optional(Text),
  "identity-token-file": v.optional(Text),
  /** Hosts of token servers outside of the registry's domain that may get the login. */
  "token-hosts": v.optional(List),
  "ca-file": v.optional(Text),
  "client-cert": v.optional(Text),
  "client-key": v.optional(Text),
  /** Whether plain HTTP may be used if HTTPS does not work. */
  insecure: v.optional(v.boolean()),
  /** Whether a mirror is asked without the parameter `ns`. */
  "no-ns": v.optional(v.boolean()),
  "max-connections": v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1024))),
});

const Config = v.strictObject({
  data: v.optional(Text),
  store: v.optional(Text),
  addr: v.optional(Text),
  upstream: v.optional(List, []),
  offline: v.optional(v.boolean()),
  platform: v.optional(v.pipe(List, v.transform((list) => list.join(",")))),
  "tag-ttl": v.optional(Text),
  peer: v.optional(List),
  discover: v.optional(v.boolean()),
  "discover-on": v.optional(Text),
  "limit-rate": v.optional(Text),
  budget: v.optional(List),
  window: v.optional(List),
  "cache-max": v.optional(Text),
  "max-memory": v.optional(Text),
  complete: v.optional(v.boolean()),
  scrub: v.optional(Text),
  "require-login": v.optional(Text),
  private: v.optional(List, []),
  "tls-cert": v.optional(Text),
  "tls-key": v.optional(Text),
  /** Entries of a policy; `parseTrustEntries` checks them. */
  "trusted-keys": v.optional(v.array(v.unknown())),
  hosts: v.optional(v.record(v.string(), Host), {}),
});

/** The content of a `--config FILE`: the same settings as the flags, and settings of single hosts. */
export type ConfigFile = v.InferOutput<typeof Config>;
/** The configuration of one host. */
export type HostConfig = v.InferOutput<typeof Host>;

/**
 * Parses the text of a configuration file. Relative paths in it are resolved against its folder.
 *
 * @param path the path of the file, for relative paths and for errors
 * @throws {UsageError} when the text is not valid; it names the field, and never repeats a value, which may be a secret
 */
export function parseConfigFile(text: string, path: string): ConfigFile {
  let document: unknown;
  try {
    document = parseYaml(text) ?? {};
  } catch (error) {
    // The parser's message quotes the document, and the quoted part may be a password: only its kind and position are kept.
    const [message = ""] = (error as Error).message.split("\n");
    const at = /\bat line \d+(?:, column \d+)?/.exec(message)?.[0] ?? "";
    const [, reason] = YAML_ERRORS.find(([pattern]) => pattern.test(message)) ?? [];
    throw new UsageError(cannot(`read the configuration ${path}`, `${reason ?? "it is not YAML"} ${at}`.trimEnd()));
  }
  const result = v.safeParse(Config, Array.isArray(document) ? undefined : document);
  if (result.success) return withPathsFrom(path.slice(0, path.lastIndexOf("/") + 1), result.output);
  const [issue] = result.issues;
  const field = nameField(issue);
  throw new UsageError(cannot(`use the configuration ${path}`, `${field} ${describe(issue, field)}`));
}

/** What is wrong with a document, by the parser's message. */
const YAML_ERRORS: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/duplicat/i, "a field is given twice"],
  [/single document/i, "it has more than one document"],
];

const HOST_PATHS = ["password-file", "identity-token-file", "ca-file", "client-cert", "client-key"] as const;

// A service runs in another working directory than the shell in which the file was tried.
function withPathsFrom(folder: string, config: ConfigFile): ConfigFile {
  const resolve = <T extends object>(value: T, ...fields: (keyof T)[]): T => {
    const paths = fields.map((field) => [field, value[field]] as const)
      .filter((entry): entry is [keyof T, T[keyof T] & string] => typeof entry[1] === "string")
      .map(([field, path]) => [field, path.startsWith("/") ? path : `${folder}${path}`]);
    return { ...value, ...Object.fromEntries(paths) };
  };
  const hosts = Object.entries(config.hosts).map(([name, host]) => [name, resolve(host, ...HOST_PATHS)]);
  return { ...resolve(config, "require-login", "tls-cert", "tls-key"), hosts: Object.fromEntries(hosts) };
}

/** The types of the fields that are not texts, for errors. */
const WORDS: Readonly<Record<string, string>> = {
  "cache-max": "a size, such as 20GiB",
  "max-memory": "a size, such as 160MiB",
  "tag-ttl": "a duration, such as 5m",
  scrub: "a duration, such as 30d",
  "limit-rate": "a size a second, such as 2MiB/s",
  peer: "a text or a list of texts",
  budget: "a text or a list of texts",
  window: "a text or a list of texts",
  upstream: "a text or a list of texts",
  private: "a text or a list of texts",
  platform: "a text or a list of texts",
  url: "a text or a list of texts",
  "token-hosts": "a text or a list of texts",
  offline: "true or false",
  discover: "true or false",
  complete: "true or false",
  insecure: "true or false",
  "no-ns": "true or false",
  "max-connections": "a whole number from 1 to 1024",
  "trusted-keys": "a list of entries with keys",
  hosts: "an object: HOST with its settings",
};

// A field is named as far as it may be a name: a value may follow where a space is missing (`{password:x}`).
function nameField({ path }: v.BaseIssue<unknown>): string {
  const names = (path ?? []).map(({ key }, i) => {
    const text = String(key);
    const [name = ""] = (i === 1 && path?.[0].key === "hosts" ? /^[\w.:*[\]-]{0,80}/ : /^[\w-]{0,40}/).exec(text) ??
      [];
    return name === text ? name : `${name}…`;
  });
  return names.length === 0 ? "the document" : names.join(".");
}

function describe(issue: v.BaseIssue<unknown>, field: string): string {
  if (issue.type === "min_length" || issue.type === "every_item") {
    return "has an empty text; write a value, or leave it out";
  }
  if (issue.type !== "strict_object" || issue.expected !== "never") {
    if (issue.type === "strict_object") return "has the wrong type; write its settings, each as NAME: VALUE";
    return `has the wrong type; write ${WORDS[field.split(".").at(-1)!] ?? "a text"}`;
  }
  const known = Object.keys(field.startsWith("hosts.") ? Host.entries : Config.entries);
  return `is not a known field${didYouMean(field.split(".").at(-1) ?? field, known)}`;
}
