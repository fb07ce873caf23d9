import { cannot, UsageError } from "../oci/error.ts";

/** Where the objects of a store are. */
export interface S3Location {
  readonly bucket: string;
  /** Put in front of every key: `""`, or a path that ends with `/`. */
  readonly prefix: string;
  /** The URL of the storage, without a path. */
  readonly endpoint: string;
  readonly region: string;
  /** Whether the bucket is a part of the path (`http://HOST/BUCKET/KEY`), not of the host name. */
  readonly isPathStyle: boolean;
}

/** What the environment says about the storage. */
export interface S3Defaults {
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
}

const DEFAULT_REGION = "us-east-1";
// docs.aws.amazon.com, "General purpose bucket naming rules". Other engines accept upper case and underscores.
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/;
const PREFIX = /^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/;
const PARAMETERS = ["endpoint", "region", "path-style"];

/**
 * Parses `s3://BUCKET[/PREFIX][?endpoint=URL&region=REGION&path-style=true|false]`. Without an endpoint, that of Amazon
 * S3 in the region is meant. An endpoint is used in path style, unless `path-style=false`.
 *
 * @throws {UsageError} when the text is not valid
 */
export function parseS3Location(text: string, defaults: S3Defaults = {}): S3Location {
  // The parameters are not repeated: a URL in them may have a login.
  const named = JSON.stringify(text.replace(/\?.*$/s, ""));
  const fail = (reason: string) => new UsageError(cannot(`use the store ${named}`, reason));
  const [, bucket = "", path = "", query = ""] = /^s3:\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(text) ?? [];
  if (bucket === "") throw fail("write s3://BUCKET or s3://BUCKET/PREFIX");
  if (bucket.includes("@")) throw fail("a store takes no login; the keys of the bucket are in environment variables");
  if (!BUCKET.test(bucket)) throw fail(`${JSON.stringify(bucket)} is not the name of a bucket`);
  const prefix = path.replace(/\/+$/, "");
  if (prefix !== "" && (!PREFIX.test(prefix) || /(?:^|\/)\.\.?(?:\/|$)/.test(prefix))) {
    throw fail("the prefix may have letters, digits, and . _ - between single slashes");
  }
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys()) {
    if (!PARAMETERS.includes(name)) throw fail(`it has no parameter ${name}; there are ${PARAMETERS.join(", ")}`);
  }
  const pathStyle = parameters.get("path-style") ?? undefined;
  if (pathStyle !== undefined && pathStyle !== "true" && pathStyle !== "false") {
    throw fail("path-style is true or false");
  }
  const region = parameters.get("region") ?? defaults.region ?? DEFAULT_REGION;
  if (!/^[A-Za-z0-9-]{1,64}$/.test(region)) throw fail(`${JSON.stringify(region)} is not a region`);
  const given = parameters.get("endpoint") ?? defaults.endpoint;
  const endpoint = given === undefined ? `https://s3.${region}.amazonaws.com` : parseEndpoint(given);
  if (endpoint === undefined) throw fail("the endpoint is not the http or https URL of a host, without a path");
  return {
    bucket,
    prefix: prefix === "" ? "" : `${prefix}/`,
    endpoint,
    region,
    isPathStyle: pathStyle === undefined ? given !== undefined || bucket.includes(".") : pathStyle === "true",
  };
}

function parseEndpoint(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === "") return undefined;
  // A login in the URL would be printed with it.
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") return undefined;
  return url.pathname === "/" ? url.origin : undefined;
}

/** Formats a location for messages: `s3://BUCKET/PREFIX at ENDPOINT`. */
export function formatS3Location({ bucket, prefix, endpoint }: S3Location): string {
  return `s3://${bucket}/${prefix}`.replace(/\/$/, "") + ` at ${endpoint}`;
}
