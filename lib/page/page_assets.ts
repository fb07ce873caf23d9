import { createHash } from "node:crypto";
import { matchesEtag } from "../http/conditional.ts";
import { type Digest, parseDigest } from "../oci/digest.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import { ASSETS } from "./page_route.ts";

/** The files of the page and their URLs, by their names. */
export type AssetSources = Readonly<Record<string, URL>>;

interface LoadedAssets {
  /** The hash of all files. */
  readonly digest: Digest;
  /** The path of the folder of this version. */
  readonly folder: string;
  readonly assets: ReadonlyMap<string, Asset>;
}

interface Asset {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: string;
}

const INDEX = "index.html";
/** Where the name of the folder of this version is written into `index.html`. */
const FOLDER_MARK = "{{folder}}";
const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};
const HASH_LENGTH = 16;
const ONE_YEAR = 31_536_000;

const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

/**
 * The static files of the page. They are read at the first request. All of them but `index.html` are in a folder that is
 * named by the hash of all files, so that a browser keeps them for a year and never mixes two versions.
 */
export class PageAssets {
  readonly #sources: AssetSources;
  readonly #read: (url: URL) => Promise<Uint8Array<ArrayBuffer>>;
  #loaded: Promise<LoadedAssets> | undefined;

  constructor(sources: AssetSources, read: (url: URL) => Promise<Uint8Array<ArrayBuffer>> = Deno.readFile) {
    this.#sources = sources;
    this.#read = read;
  }

  /**
   * Answers `GET /` and `GET /page/FOLDER/NAME`.
   *
   * @throws {RegistryError} `NOT_FOUND` for an unknown file, or a file of another version
   */
  async answer(path: string, headers: Headers): Promise<Response> {
    const { digest, folder, assets } = await this.#load();
    const name = path === "/" ? INDEX : path.slice(folder.length);
    const isKnown = path === "/" || (path.startsWith(folder) && name !== INDEX);
    const asset = isKnown ? assets.get(name) : undefined;
    if (asset === undefined) throw new RegistryError("NOT_FOUND", cannot("find the page", "there is no such file"));
    const common = {
      ...SECURITY_HEADERS,
      etag: `"${digest}"`,
      // The folder of an old version is gone, so the page itself is asked for every time.
      "cache-control": name === INDEX ? "no-cache" : `public, max-age=${ONE_YEAR}, immutable`,
    };
    if (matchesEtag(headers.get("if-none-match"), digest)) return new Response(null, { status: 304, headers: common });
    return new Response(asset.bytes, {
      headers: { ...common, "content-type": asset.type, "content-length": String(asset.bytes.length) },
    });
  }

  #load(): Promise<LoadedAssets> {
    // A failure is not remembered.
    return this.#loaded ??= this.#readAll().catch((error) => {
      this.#loaded = undefined;
      throw error;
    });
  }

  async #readAll(): Promise<LoadedAssets> {
    const hash = createHash("sha256");
    const assets = new Map<string, Asset>();
    for (const [name, url] of Object.entries(this.#sources).sort(([a], [b]) => a < b ? -1 : 1)) {
      const bytes = await this.#read(url);
      hash.update(`${name}\0${bytes.length}\0`).update(bytes);
      assets.set(name, { bytes, type: TYPES[name.slice(name.lastIndexOf(".") + 1)] ?? "application/octet-stream" });
    }
    const hex = hash.digest("hex");
    const folder = `${ASSETS}${hex.slice(0, HASH_LENGTH)}/`;
    const index = assets.get(INDEX)!;
    const text = new TextDecoder().decode(index.bytes).replaceAll(FOLDER_MARK, folder);
    assets.set(INDEX, { ...index, bytes: new TextEncoder().encode(text) });
    return { digest: parseDigest(`sha256:${hex}`), folder, assets };
  }
}
