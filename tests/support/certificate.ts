/** A self-signed certificate in PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/**
 * Makes a certificate for 127.0.0.1 with openssl.
 *
 * @param isAuthority marks it as an authority (CA:TRUE), as many tools do by default
 */
export async function makeCertificate({ isAuthority = false } = {}): Promise<Certificate> {
  const folder = await Deno.makeTempDir({ prefix: "crpe-certificate-" });
  try {
    const { success, stderr } = await new Deno.Command("openssl", {
      args: [
        ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=crpe-test".split(" "),
        // Deno's TLS refuses the certificate of an authority as a server's certificate.
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
