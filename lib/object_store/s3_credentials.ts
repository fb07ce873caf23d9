/** What requests are signed with. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/**
 * Finds the credentials of a profile in the text of a shared credentials file of AWS (`~/.aws/credentials`).
 *
 * @returns `undefined` when the profile is missing, or has no keys
 */
export function findProfile(text: string, profile: string): S3Credentials | undefined {
  const values = new Map<string, string>();
  let section = "";
  for (const line of text.split(/\r?\n/)) {
    const header = /^\s*\[\s*([^\]]+?)\s*\]\s*$/.exec(line);
    if (header !== null) section = header[1]!;
    const entry = /^\s*([a-z_]+)\s*=\s*(\S+)\s*$/i.exec(line);
    if (entry !== null && section === profile) values.set(entry[1]!.toLowerCase(), entry[2]!);
  }
  const [accessKeyId, secretAccessKey] = [values.get("aws_access_key_id"), values.get("aws_secret_access_key")];
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey, sessionToken: values.get("aws_session_token") };
}
