import * as v from "valibot";

/** The service type of crpes (RFC 6763, section 7), in the domain of multicast DNS. */
export const SERVICE = "_crpe._tcp.local";

// How a crpe is asked for what it holds: the distribution API, with `Cache-Control: only-if-cached`.
const API = "v2";
// The lifetime of the records, in seconds. RFC 6762, section 10, recommends it for records with a host's address.
const TTL_SECONDS = 120;
// A crpe announces itself with four records. Other responders may add some of their own.
const MAX_RECORDS = 32;

/** What a crpe says about itself. */
export interface Announcement {
  /** The random identity of the process: 16 hexadecimal digits. */
  readonly id: string;
  /** The IPv4 address of its registry. */
  readonly address: string;
  readonly port: number;
}

/** An announcement as it was received. */
export interface ReceivedAnnouncement extends Announcement {
  /** For how many seconds it holds; 0: the crpe is leaving. */
  readonly ttl: number;
}

/** A question or record of a message, in the form of `multicast-dns`. */
export interface DnsRecord {
  readonly name: string;
  readonly type: "A" | "PTR" | "SRV" | "TXT";
  readonly ttl?: number;
  /** Whether the record replaces older ones (RFC 6762, section 10.2). */
  readonly flush?: boolean;
  readonly data?: unknown;
}

/** A message, in the form of `multicast-dns`. */
export interface DnsMessage {
  readonly type: "query" | "response";
  /** Of a response: 1024 for an authoritative answer. */
  readonly flags?: number;
  readonly questions?: readonly DnsRecord[];
  readonly answers?: readonly DnsRecord[];
}

const AUTHORITATIVE = 1024;

/** The question which crpes there are. */
export const QUERY: DnsMessage = { type: "query", questions: [{ name: SERVICE, type: "PTR" }] };

/** Formats the announcement of a crpe. @param isLeaving whether it ends (RFC 6762, section 10.1) */
export function formatAnnouncement(
  { id, address, port }: Announcement,
  { isLeaving = false }: { readonly isLeaving?: boolean } = {},
): DnsMessage {
  const ttl = isLeaving ? 0 : TTL_SECONDS;
  const [instance, target] = [`crpe-${id}.${SERVICE}`, `crpe-${id}.local`];
  return {
    type: "response",
    flags: AUTHORITATIVE,
    answers: [
      { name: SERVICE, type: "PTR", ttl, data: instance },
      { name: instance, type: "SRV", ttl, flush: true, data: { priority: 0, weight: 0, port, target } },
      { name: instance, type: "TXT", ttl, flush: true, data: ["txtvers=1", `id=${id}`, `api=${API}`] },
      { name: target, type: "A", ttl, flush: true, data: address },
    ],
  };
}

// Names are compared without regard to case (RFC 6762, section 16).
const Name = v.pipe(v.string(), v.maxLength(255), v.toLowerCase());
const Ttl = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffffffff));
const Records = v.array(v.unknown());
const Message = v.object({
  type: v.picklist(["query", "response"]),
  questions: v.optional(Records, []),
  answers: v.optional(Records, []),
  additionals: v.optional(Records, []),
});
const Question = v.object({ name: Name, type: v.picklist(["PTR", "SRV", "TXT", "ANY"]) });
const Pointer = v.object({ type: v.literal("PTR"), name: v.pipe(Name, v.literal(SERVICE)), ttl: Ttl, data: Name });
const Service = v.object({
  type: v.literal("SRV"),
  name: Name,
  data: v.object({ port: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535)), target: Name }),
});
const Text = v.object({
  type: v.literal("TXT"),
  name: Name,
  data: v.array(v.instance(Uint8Array)),
});
const Address = v.object({ type: v.literal("A"), name: Name, data: v.pipe(v.string(), v.ipv4()) });
const INSTANCE = /^crpe-([0-9a-f]{16})\._crpe\._tcp\.local$/;

/** Reports whether a received message asks for a crpe: for all, or for the one with the identity `id`. */
export function isQuestionFor(message: unknown, id: string): boolean {
  const parsed = v.safeParse(Message, message);
  if (!parsed.success || parsed.output.type !== "query") return false;
  const { questions, answers } = parsed.output;
  const instance = `crpe-${id}.${SERVICE}`;
  const isAsked = selectRecords(questions, Question).some(({ name, type }) =>
    name === instance && type !== "PTR" || name === SERVICE && (type === "PTR" || type === "ANY")
  );
  // A record that the sender has, with at least half of its lifetime left, is not sent (RFC 6762, section 7.1).
  return isAsked &&
    !selectRecords(answers, Pointer).some(({ data, ttl }) => data === instance && ttl * 2 >= TTL_SECONDS);
}

/** Reports whether a received message is a response. */
export function isResponse(message: unknown): boolean {
  return v.is(v.object({ type: v.literal("response") }), message);
}

/** Reads the announcement of a received message; `undefined` when it is none, or is not valid. */
export function readAnnouncement(message: unknown): ReceivedAnnouncement | undefined {
  const parsed = v.safeParse(Message, message);
  if (!parsed.success || parsed.output.type !== "response") return undefined;
  const records = [...parsed.output.answers, ...parsed.output.additionals].slice(0, MAX_RECORDS);
  const [pointer] = selectRecords(records, Pointer);
  const id = INSTANCE.exec(pointer?.data ?? "")?.[1];
  if (pointer === undefined || id === undefined) return undefined;
  const service = selectRecords(records, Service).find(({ name }) => name === pointer.data);
  const text = selectRecords(records, Text).find(({ name }) => name === pointer.data);
  const address = selectRecords(records, Address).find(({ name }) => name === service?.data.target);
  if (service === undefined || text === undefined || address === undefined) return undefined;
  const values = text.data.map((bytes) => new TextDecoder().decode(bytes));
  if (!values.includes(`id=${id}`) || !values.includes(`api=${API}`)) return undefined;
  return { id, address: address.data, port: service.data.port, ttl: Math.min(pointer.ttl, TTL_SECONDS) };
}

function selectRecords<Schema extends v.GenericSchema>(
  records: readonly unknown[],
  schema: Schema,
): v.InferOutput<Schema>[] {
  return records.slice(0, MAX_RECORDS).flatMap((record) => {
    const parsed = v.safeParse(schema, record);
    return parsed.success ? [parsed.output] : [];
  });
}
