/** A certificate that signs itself, as PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** Makes a certificate for 127.0.0.1 with openssl. @param isAuthority as tools make it that think of no other use */
export async function makeCertificate({ isAuthority = false } = {}): Promise<Certificate> {
  const folder = await Deno.makeTempDir({ prefix: "crpe-certificate-" });
  try {
    const { success, stderr } = await new Deno.Command("openssl", {
      args: [
        ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=crpe-test".split(" "),
        // Deno's TLS takes no authority's certificate for a server's.
        ...`-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:${isAuthority ? "TRUE" : "FALSE"}`
          .split(" "),
        ...["-keyout", `${folder}/key.pem`, "-out", `${folder}/cert.pem`],
      ],
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) throw new Error(`Cannot make a certificate: ${new TextDecoder().decode(stderr)}`);
    return {
      cert: await Deno.readTextFile(`${folder}/cert.pem`),
      key: await Deno.readTextFile(`${folder}/key.pem`),
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
