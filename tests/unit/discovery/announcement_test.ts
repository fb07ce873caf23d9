import {
  type DnsMessage,
  type DnsRecord,
  formatAnnouncement,
  isQuestionFor,
  QUERY,
  readAnnouncement,
  SERVICE,
} from "../../../lib/discovery/announcement.ts";
import { assertEquals } from "../../support/assert.ts";

const ID = "0123456789abcdef";
const OWN = { id: ID, address: "10.0.0.5", port: 6060 };
const INSTANCE = `crpe-${ID}.${SERVICE}`;

/** A message as it is decoded: with texts as bytes. */
function received({ answers = [], ...message }: DnsMessage) {
  const encode = (data: unknown) => Array.isArray(data) ? data.map((text) => new TextEncoder().encode(text)) : data;
  return { ...message, questions: [], answers: answers.map((record) => ({ ...record, data: encode(record.data) })) };
}

const whole = received(formatAnnouncement(OWN));

/** The announcement with one record changed. */
function change(type: DnsRecord["type"], changes: object) {
  return { ...whole, answers: whole.answers.map((it) => it.type === type ? { ...it, ...changes } : it) };
}

const texts = (...values: string[]) => values.map((value) => new TextEncoder().encode(value));

Deno.test("[108] an announcement that is formatted is read as it was, also in upper case and as additional records", () => {
  assertEquals(readAnnouncement(whole), { ...OWN, ttl: 120 });
  assertEquals(readAnnouncement(received(formatAnnouncement(OWN, { isLeaving: true }))), { ...OWN, ttl: 0 });
  const [pointer, ...rest] = whole.answers;
  assertEquals(readAnnouncement({ type: "response", answers: [pointer], additionals: rest }), { ...OWN, ttl: 120 });
  assertEquals(readAnnouncement(change("PTR", { name: SERVICE.toUpperCase(), data: INSTANCE.toUpperCase() })), {
    ...OWN,
    ttl: 120,
  });
  assertEquals(readAnnouncement(change("PTR", { ttl: 4_000_000 }))?.ttl, 120, "a lifetime is bounded");
});

const REFUSED: readonly [what: string, message: unknown][] = [
  ["nothing", undefined],
  ["no object", "response"],
  ["a query", { ...whole, type: "query" }],
  ["another service", change("PTR", { name: "_http._tcp.local" })],
  ["an identity that is no number", change("PTR", { data: `crpe-${"x".repeat(16)}.${SERVICE}` })],
  ["an instance of another service", change("PTR", { data: `crpe-${ID}._http._tcp.local` })],
  ["a lifetime that is no number", change("PTR", { ttl: "120" })],
  ["a negative lifetime", change("PTR", { ttl: -1 })],
  ["port 0", change("SRV", { data: { port: 0, target: `crpe-${ID}.local` } })],
  ["port 65536", change("SRV", { data: { port: 65536, target: `crpe-${ID}.local` } })],
  ["no port", change("SRV", { data: null })],
  ["the port of another instance", change("SRV", { name: `crpe-${"0".repeat(16)}.${SERVICE}` })],
  ["a host without an address", change("A", { name: "other.local" })],
  ["a name as the address", change("A", { data: "localhost" })],
  ["an address in another notation", change("A", { data: "2130706433" })],
  ["an IPv6 address", change("A", { data: "fd00::1" })],
  ["another identity in the text", change("TXT", { data: texts("id=fedcba9876543210", "api=v2") })],
  ["another API", change("TXT", { data: texts(`id=${ID}`, "api=v3") })],
  ["a text that is not bytes", change("TXT", { data: [`id=${ID}`, "api=v2"] })],
  ["no text", { ...whole, answers: whole.answers.filter(({ type }) => type !== "TXT") }],
  ["no records", { type: "response" }],
  ["records that are none", { type: "response", answers: [null, 1, "x", []] }],
  ["answers that are no list", { type: "response", answers: { length: 1 } }],
  ["an announcement behind a hundred other records", {
    type: "response",
    answers: [...new Array(100).fill({ type: "TXT", name: "x", data: [] }), ...whole.answers],
  }],
];
for (const [what, message] of REFUSED) {
  Deno.test(`[108] no announcement is read from ${what}`, () => assertEquals(readAnnouncement(message), undefined));
}

const ask = (name: string, type: string, answers: readonly unknown[] = []) => ({
  type: "query",
  questions: [{ name, type, class: "IN" }],
  answers,
});
const QUESTIONS: readonly [what: string, message: unknown, isAnswered: boolean][] = [
  ["the query of a crpe", QUERY, true],
  ["a query for everything about the service", ask(SERVICE, "ANY"), true],
  ["the service in upper case", ask(SERVICE.toUpperCase(), "PTR"), true],
  ["the port of this instance", ask(INSTANCE, "SRV"), true],
  ["another instance", ask(`crpe-${"0".repeat(16)}.${SERVICE}`, "SRV"), false],
  ["another service", ask("_http._tcp.local", "PTR"), false],
  ["another type", ask(SERVICE, "AAAA"), false],
  ["a response", { ...whole, questions: QUERY.questions }, false],
  ["an answer that is known for long", ask(SERVICE, "PTR", [whole.answers[0]]), false],
  ["an answer that ends soon", ask(SERVICE, "PTR", [{ ...whole.answers[0], ttl: 59 }]), true],
  ["the answer of another one", ask(SERVICE, "PTR", [{ ...whole.answers[0], data: `crpe-0.${SERVICE}` }]), true],
  ["no questions", { type: "query", questions: [null] }, false],
  ["nothing", null, false],
];
for (const [what, message, isAnswered] of QUESTIONS) {
  Deno.test(`[108] a crpe ${isAnswered ? "answers" : "does not answer"}: ${what}`, () => {
    assertEquals(isQuestionFor(message, ID), isAnswered);
  });
}
