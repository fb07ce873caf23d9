/** One way of authentication that a server offers (RFC 9110, 11.3). */
export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case; of a name given twice the first value. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/;
const SPACE = /[ \t\r\n]/;
// What some schemes have instead of parameters (RFC 9110, 11.2, `token68`).
const TOKEN68 = /[ \t]+[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|$)/y;

/**
 * Reads a `WWW-Authenticate` header, or several joined by commas, as `Headers` joins them. What is no challenge is
 * passed over, since registries differ: values without quotes, parameters without value or comma, quotes left open.
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
      // A comma, a space, or a stray byte.
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

/** The challenge to answer: Bearer if it is offered with a realm to ask, else Basic. */
export function selectChallenge(challenges: readonly Challenge[]): Challenge | undefined {
  return challenges.find(({ scheme, parameters }) => scheme === "bearer" && isUrl(parameters.get("realm"))) ??
    challenges.find(({ scheme }) => scheme === "basic");
}

function isUrl(text: string | undefined): boolean {
  return text !== undefined && URL.canParse(text);
}
