/**
 * Reports whether an `Accept` header names a media type itself (RFC 9110, 12.5.1): a weight of 0 means "not acceptable".
 *
 * @param type in lower case
 */
export function acceptsType(headers: Headers, type: string): boolean {
  return (headers.get("accept") ?? "").split(",").some((range) => {
    const [name = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    return name === type && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter));
  });
}
