#!/usr/bin/env node
// Starts the executable of this platform, which is in a package of its own.
"use strict";
const { spawn } = require("node:child_process");

const name = `@crpe/${process.platform}-${process.arch}`;
let program;
try {
  program = require.resolve(`${name}/crpe${process.platform === "win32" ? ".exe" : ""}`);
} catch {
  console.error(
    `crpe: the package ${name} is not installed: there is no crpe for this platform, or npm left optional packages out`,
  );
  process.exit(1);
}
const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
// ctrl-C reaches both processes; a signal from elsewhere only this one.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("error", (error) => {
  console.error(`crpe: cannot start ${program}: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
