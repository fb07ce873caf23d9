import { fuzzInputs } from "../fuzz/fuzz_inputs.ts";
import { checkError, checkMessage, fault, type FuzzTarget } from "../fuzz/fuzz_target.ts";
import { assert, assertEquals, assertThrows } from "../support/assert.ts";

// The runner of tests/integration/fuzz_inputs_test.ts has to report what a target finds.

function makeTarget(run: (number: number) => Promise<string>): FuzzTarget {
  let number = 0;
  return {
    ...{ name: "a test", outcomes: [], cases: 3 },
    prepare: () => {
      return Promise.resolve({
        run: (_random, describe) => {
          describe(`input ${number}`);
          return run(number++);
        },
        [Symbol.asyncDispose]: () => Promise.resolve(),
      });
    },
  };
}

const FAULTS: readonly [what: string, run: (number: number) => Promise<string>, finding: string][] = [
  ["a fault", () => Promise.resolve(fault("wrong bytes")), "case 0 (input 0): FaultError: wrong bytes"],
  ["an unexpected error", () => Promise.reject(new TypeError("x is undefined")), "TypeError: x is undefined"],
  ["a rejection without a handler", async () => {
    Promise.reject(new Error("nobody waits"));
    await new Promise((resolve) => setTimeout(resolve, 0));
    return "ok";
  }, "unhandled rejection: Error: nobody waits"],
  ["a changed prototype", () => {
    Object.defineProperty(Object.prototype, "polluted", { value: 1, enumerable: true, configurable: true });
    return Promise.resolve("ok");
  }, "the prototype of all objects has"],
];
for (const [what, run, finding] of FAULTS) {
  Deno.test(`fuzzInputs() finds ${what}`, async () => {
    try {
      const { findings, done } = await fuzzInputs(makeTarget(run), { seed: 1, count: 1, folder: "" });
      assertEquals([findings.length, done], [1, 1]);
      assert(findings[0]!.includes(finding), findings[0]);
    } finally {
      delete (Object.prototype as { polluted?: unknown }).polluted;
    }
  });
}

Deno.test("fuzzInputs() counts outcomes, and stops when the time is over", async () => {
  const run = (number: number) => Promise.resolve(number % 2 === 0 ? "even" : "odd");
  let done = 0;
  const options = { seed: 1, count: 100, folder: "", isOver: () => done++ === 3 };
  assertEquals(await fuzzInputs(makeTarget(run), options), { findings: [], outcomes: { even: 2, odd: 1 }, done: 3 });
});

const MESSAGES: readonly [what: string, message: string, secret: string | undefined, isFault: boolean][] = [
  ["accepts one line", "Cannot read x: it is empty", "hunter2", false],
  ["refuses a secret", "Cannot read x: hunter2", "hunter2", true],
  ["refuses a control character", "Cannot read x\u001b[31m", undefined, true],
  ["refuses a change of direction", "Cannot read \u202ex", undefined, true],
  ["refuses another form", "x is undefined", undefined, true],
  ["refuses a long message", `Cannot read ${"x".repeat(5000)}`, undefined, true],
];
for (const [what, message, secret, isFault] of MESSAGES) {
  Deno.test(`checkMessage() ${what}`, () => {
    if (isFault) assertThrows(() => checkMessage(message, secret), Error);
    else checkMessage(message, secret);
  });
}

Deno.test("checkError() names an allowed error, and refuses any other", () => {
  assertEquals(checkError(new RangeError("Cannot count"), [RangeError]), "RangeError");
  assertThrows(() => checkError(new Error("Cannot count"), [RangeError]), Error, "unexpected error");
});
