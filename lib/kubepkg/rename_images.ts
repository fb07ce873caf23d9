import { isJsonObject } from "../oci/json.ts";
import { formatReference, type Reference, withDefaultTag } from "../oci/reference.ts";
import { type FieldPath, formatField } from "./field_path.ts";
import { visitImages } from "./find_images.ts";
import { readImageFields, readImageText } from "./image_text.ts";
import type { KubeObject } from "./kubepkg.ts";
import { formatIdentity, identifyObject } from "./object_identity.ts";

/** The new name of an image; `undefined` keeps the old one. */
type RenameImage = (reference: Reference) => Reference | undefined;

/** An object with renamed images. */
interface RenamedObject {
  readonly object: KubeObject;
  /** The images that could not be renamed where they stand: `Deployment/web/web, field spec.x`. */
  readonly left: readonly { readonly image: string; readonly where: string }[];
}

// What a text of several words may have around an image: flags, lists, YAML.
const WORD = /[^\s,="']+/g;

/**
 * Renames the images that an object uses, where `findImages` finds them: in a text, in arguments and lists in a text, and
 * in `{registry, repository, tag}` fields. The object itself is not changed.
 */
export function renameImages(object: KubeObject, rename: RenameImage): RenamedObject {
  const copy = structuredClone(object);
  const left = new Map<string, { image: string; where: string }>();
  const done = new Set<string>();
  const name = formatIdentity(identifyObject(object));
  visitImages(object, (given, path) => {
    const reference = withDefaultTag(given);
    const [image, field] = [formatReference(reference), formatField(path)];
    const to = rename(reference);
    if (to === undefined || done.has(`${field} ${image}`)) return;
    done.add(`${field} ${image}`);
    if (!replaceAt(copy, path, { from: reference, to })) {
      left.set(`${field} ${image}`, { image, where: `${name}, field ${field}` });
    }
  });
  return { object: copy, left: [...left.values()] };
}

interface Replacement {
  readonly from: Reference;
  readonly to: Reference;
}

function replaceAt(root: unknown, path: FieldPath, change: Replacement): boolean {
  let parent = root;
  for (const [i, key] of path.entries()) {
    if (typeof parent !== "object" || parent === null) return false;
    const value = childOf(parent, key);
    const isLast = i === path.length - 1;
    if (typeof value === "string") {
      // Prometheus' `baseImage` has its tag in a field beside it.
      if (isJsonObject(parent) && key === "baseImage") return replaceBase(parent, change);
      // The rest of the path is inside of a text: the values of a HelmChart.
      const text = replaceText(value, change);
      (parent as Record<string | number, unknown>)[key] = text;
      return text !== value;
    }
    if (isLast) return isJsonObject(value) && replaceFields(value, change);
    parent = value;
  }
  return false;
}

function replaceText(text: string, { from, to }: Replacement): string {
  const name = formatReference(from);
  return text.replace(WORD, (word) => {
    const [scheme = ""] = /^(?:docker|oci):\/\//.exec(word) ?? [];
    const found = readImageText(word.slice(scheme.length), "name");
    // Among other words, `nginx` alone can be anything.
    if (found === undefined || word !== text && !/[/:]/.test(word)) return word;
    // The tag of a field that holds nothing but a name can come from another field.
    const isBare = word === text && found.tag === undefined && found.digest === undefined;
    const isMeant = formatReference(withDefaultTag(found)) === name ||
      isBare && formatReference({ ...found, tag: from.tag, digest: from.digest }) === name;
    return isMeant ? scheme + formatReference(to) : word;
  });
}

// `{registry, repository, tag, digest}`, as `readImageFields` reads it.
function replaceFields(fields: Record<string, unknown>, { from, to }: Replacement): boolean {
  const read = readImageFields(fields);
  if (read === undefined || formatReference(withDefaultTag(read)) !== formatReference(from)) return false;
  const key = ["repository", "name", "image"].find((it) => typeof fields[it] === "string" && fields[it] !== "");
  if (key === undefined) return false;
  if (typeof fields.registry === "string" && fields.registry !== "") {
    fields.registry = to.host;
    fields[key] = to.path;
  } else fields[key] = `${to.host}/${to.path}`;
  return replaceDigest(fields, { from, to });
}

function replaceBase(fields: Record<string, unknown>, change: Replacement): boolean {
  fields.baseImage = `${change.to.host}/${change.to.path}`;
  return replaceDigest(fields, change);
}

function replaceDigest(fields: Record<string, unknown>, { from, to }: Replacement): boolean {
  if (from.digest === to.digest) return true;
  for (const key of ["digest", "sha", "sha256"]) {
    const value = fields[key];
    if (typeof value !== "string" || value === "") continue;
    fields[key] = value.includes(":") ? to.digest : to.digest?.replace(/^[^:]*:/, "");
    return true;
  }
  return false;
}

function childOf(value: unknown, key: string | number): unknown {
  if (Array.isArray(value)) return value[Number(key)];
  return isJsonObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}
