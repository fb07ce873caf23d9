/** An authentication challenge of a server (RFC 9110, 11.3). */
export interface Challenge {
  /** The authentication scheme in lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** The parameters by lower-case name. When a name is repeated, the first value counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/;
const SPACE = /[ \t\r\n]/;
// Some schemes have a `token68` instead of parameters (RFC 9110, 11.2).
const TOKEN68 = /[ \t]+[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|$)/y;

/**
 * Parses a `WWW-Authenticate` header, or several that `Headers` joined with commas. The parser is lenient, because
 * registries deviate from the grammar: it accepts unquoted values, parameters without a value or a comma, and quotes
 * that are not closed, and it skips everything that is not part of a challenge.
 */
export function parseChallenges(header: string | null | undefined): Challenge[] {
  const text = header ?? "";
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let i = 0;

  const skipSpace = () => {
    while (i < text.length && SPACE.test(text[i]!)) i++;
  };
  const readToken = () => {
    const start = i;
    while (i < text.length && TOKEN.test(text[i]!)) i++;
    return text.slice(start, i).toLowerCase();
  };
  const readQuoted = () => {
    let value = "";
    for (i++; i < text.length && text[i] !== '"'; i++) {
      if (text[i] === "\\" && i + 1 < text.length) i++;
      value += text[i];
    }
    i++;
    return value;
  };
  const readBare = () => {
    const start = i;
    while (i < text.length && text[i] !== "," && !SPACE.test(text[i]!)) i++;
    return text.slice(start, i);
  };

  while (i < text.length) {
    const name = readToken();
    if (name === "") {
      // Skip a comma, a space or an unexpected character.
      if (text[i] === '"') readQuoted();
      else i++;
      continue;
    }
    const afterName = i;
    skipSpace();
    if (text[i] !== "=") {
      TOKEN68.lastIndex = afterName;
      i = TOKEN68.test(text) ? TOKEN68.lastIndex : afterName;
      challenges.push({ scheme: name, parameters: new Map() });
      continue;
    }
    i++;
    skipSpace();
    const value = text[i] === '"' ? readQuoted() : readBare();
    const parameters = challenges.at(-1)?.parameters;
    if (parameters !== undefined && !parameters.has(name)) parameters.set(name, value);
  }
  return challenges;
}

/**
 * Selects the challenge to answer: Bearer if it names a token server, else Basic; `undefined` when neither is offered.
 *
 * @param base the URL of the request, which a relative realm is resolved against
 */
export function selectChallenge(challenges: readonly Challenge[], base: URL): Challenge | undefined {
  for (const challenge of challenges) {
    if (challenge.scheme !== "bearer") continue;
    const realm = resolveRealm(challenge.parameters.get("realm"), base);
    if (realm !== undefined) {
      return { scheme: "bearer", parameters: new Map([...challenge.parameters, ["realm", realm.href]]) };
    }
  }
  return challenges.find(({ scheme }) => scheme === "basic");
}

// A realm without a scheme and without a slash is a name, as that of Basic is, and not a path (RFC 9110, 11.5).
function resolveRealm(realm: string | undefined, base: URL): URL | undefined {
  if (realm === undefined || /[\s"<>]/.test(realm)) return undefined;
  const isUrl = URL.canParse(realm) || realm.includes("/");
  if (!isUrl || !URL.canParse(realm, base)) return undefined;
  const url = new URL(realm, base);
  return url.protocol === "https:" || url.protocol === "http:" ? url : undefined;
}
