import { FileLimiter } from "../../../../lib/cli/serving/file_limiter.ts";
import { assertEquals } from "../../../support/assert.ts";

/** What happened with a limit of open files, and a number of connections at the start and later. */
const rows: readonly [files: number, atStart: number, later: number, expected: {
  readonly opened: readonly number[];
  readonly limits: readonly number[];
  readonly isFew: boolean;
}][] = [
  [100_000, 1, 63, { opened: [960], limits: [], isFew: false }],
  [100_000, 1, 64, { opened: [960, 5192], limits: [2500], isFew: false }],
  [100_000, 64, 65, { opened: [960, 5192], limits: [2500], isFew: false }],
  [1024, 0, 500, { opened: [960, 1024], limits: [666], isFew: false }],
  [300, 0, 500, { opened: [300], limits: [54], isFew: true }],
];

for (const [files, atStart, later, expected] of rows) {
  const title = `with ${files} files, ${atStart} connections at the start and ${later} later`;
  Deno.test(`[88] FileLimiter counts few files unless there are many connections: ${title}`, async () => {
    const opened: number[] = [];
    const limits: number[] = [];
    const problems: string[] = [];
    let [open, most] = [0, 0];
    const limiter = new FileLimiter({
      max: { server: 2500, secure: 256 },
      isTls: false,
      open() {
        if (open === files) throw new Error("Too many open files (os error 24)");
        most = Math.max(most, ++open);
        return {
          [Symbol.dispose]() {
            if (--open === 0) opened.push(most), most = 0;
          },
        };
      },
      onFewFiles: (problem) => problems.push(problem),
    });
    const server = { size: atStart, limit: (max: number) => void limits.push(max) };
    await limiter.onConnection();
    await limiter.onStarted(server, undefined);
    server.size = later;
    await limiter.onConnection();
    await limiter.onConnection();
    assertEquals({ opened, limits, isFew: problems.length > 0 }, expected);
  });
}
