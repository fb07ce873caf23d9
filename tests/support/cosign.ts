import { assertEquals } from "./assert.ts";
import { type PeerResult, runPeer } from "./peers.ts";

// Without rekor, a timestamp authority or a certificate authority, so that nothing is contacted.
const SIGNING_CONFIG =
  `{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogConfig":{},"tsaConfig":{}}`;
/** The flags of cosign for the format before version 3: simple signing, and tags. */
export const OLD_FORMAT = ["--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format=false"] as const;

/** Runs the real cosign in a folder, which is its home too. It can reach addresses of this machine only. */
export class Cosign {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Creates `cosign.key`, `cosign.pub` and `config.json`, a signing configuration without services. */
  static async create(folder: string): Promise<Cosign> {
    const cosign = new Cosign(folder);
    await Deno.writeTextFile(`${folder}/config.json`, SIGNING_CONFIG);
    await cosign.run("generate-key-pair");
    return cosign;
  }

  /** Runs it to a successful end. @returns its standard output */
  async run(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(...args);
    assertEquals(code, 0, `cosign ${args.join(" ")}: ${stderr}`);
    return stdout;
  }

  /** Runs it to any end. */
  async try(...args: string[]): Promise<PeerResult> {
    const proxy = "http://127.0.0.1:1";
    const env = {
      COSIGN_PASSWORD: "",
      HTTP_PROXY: proxy,
      HTTPS_PROXY: proxy,
      NO_PROXY: "127.0.0.1",
      HOME: this.#folder,
    };
    return await runPeer("cosign", args, { cwd: this.#folder, env });
  }

  /** Signs an image in the format of this version: a Sigstore bundle that is a referrer. */
  async sign(image: string): Promise<void> {
    await this.run("sign", "--key=cosign.key", "--signing-config=config.json", "--yes", image);
  }

  /** Verifies the signatures of an image with `cosign.pub`, or another key. */
  async verify(image: string, ...flags: string[]): Promise<PeerResult> {
    return await this.try("verify", "--private-infrastructure", ...["--key=cosign.pub", ...flags], image);
  }
}
